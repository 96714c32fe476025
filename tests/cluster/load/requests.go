package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

const (
	connectTimeout = 5 * time.Second
	afterRefusal   = 100 * time.Millisecond
	uploadBytes    = 60 << 10
)

// why names an error without what differs from one connection to the next.
func why(where string, reused bool, err error) string {
	what := err.Error()
	var ne net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		what = "refused"
	case errors.Is(err, syscall.ECONNRESET):
		what = "reset"
	case errors.Is(err, syscall.EPIPE):
		what = "pipe"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		what = "eof"
	case errors.As(err, &ne) && ne.Timeout():
		what = "timeout"
	}
	if reused {
		return where + ": " + what + " (reused)"
	}
	return where + ": " + what
}

func status(resp *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, resp.Header.Get("Weir-Reason")))
}

// link is a connection, or none yet.
type link struct {
	conn net.Conn
	in   *bufio.Reader
	to   string
	used bool // it has had a response
}

func (l *link) drop() {
	if l.conn != nil {
		l.conn.Close()
	}
	*l = link{}
}

func (l *link) dial(t target) error {
	to := t.pick()
	conn, err := net.DialTimeout("tcp", to, connectTimeout)
	if err != nil {
		return err
	}
	*l = link{conn: conn, in: bufio.NewReader(conn), to: to}
	return nil
}

func get(path string, keep bool) string {
	text := "GET " + path + " HTTP/1.1\r\nHost: shop.test\r\n"
	if !keep {
		text += "Connection: close\r\n"
	}
	return text + "\r\n"
}

func upload(path string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: shop.test\r\nContent-Length: %d\r\n\r\n%s",
		path, uploadBytes, strings.Repeat("x", uploadBytes))
}

func (r *run) requests(g *group, text string, keep, retry bool) {
	var l link
	defer l.drop()
	for !r.over() {
		if l.conn != nil && !r.target.keeps(l.to) {
			l.drop()
		}
		if !r.request(g, &l, text, retry) && g.leaves {
			return
		}
		if !keep {
			l.drop()
		}
		if g.think > 0 {
			time.Sleep(g.think)
		}
	}
}

// request is one of them. What fails drops the connection.
func (r *run) request(g *group, l *link, text string, retry bool) (good bool) {
	began := time.Now()
	if l.conn == nil {
		if err := l.dial(r.target); err != nil {
			if !retry || !errors.Is(err, syscall.ECONNREFUSED) {
				r.fail(g, why("connect", false, err), began)
			}
			time.Sleep(afterRefusal)
			return false
		}
	}
	where, last, err := "write", true, error(nil)
	l.conn.SetDeadline(began.Add(r.timeout))
	if _, err = io.WriteString(l.conn, text); err == nil {
		where = "read"
		var resp *http.Response
		if resp, err = http.ReadResponse(l.in, nil); err == nil {
			where = "body"
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			last = resp.Close
			if err == nil && resp.StatusCode == http.StatusOK {
				g.ok("200", began)
				good = true
			} else if err == nil {
				r.fail(g, status(resp), began)
			}
		}
	}
	if err != nil {
		r.fail(g, why(where, l.used, err), began)
	}
	l.used = true
	if err != nil || last {
		l.drop()
	}
	return good
}
