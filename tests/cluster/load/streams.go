package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	everyMessage = 100 * time.Millisecond
	afterEnd     = 20 * time.Millisecond
)

// open connects, sends the head and reads that of the response.
func (r *run) open(g *group, l *link, fields string) (*http.Response, string) {
	if err := l.dial(r.target); err != nil {
		return nil, why("connect", false, err)
	}
	l.conn.SetDeadline(time.Now().Add(r.timeout))
	if _, err := io.WriteString(l.conn, "GET "+g.path+" HTTP/1.1\r\nHost: shop.test\r\n"+fields+"\r\n"); err != nil {
		return nil, why("write", false, err)
	}
	resp, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return nil, why("read", false, err)
	}
	return resp, ""
}

// ---- event streams ---------------------------------------------------------------------------------

func (r *run) events(g *group) {
	for !r.over() {
		var l link
		began := time.Now()
		resp, bad := r.open(g, &l, "Accept: text/event-stream\r\n")
		if bad == "" && resp.StatusCode != http.StatusOK {
			bad = status(resp)
		}
		if bad == "" {
			bad = r.listen(&l, resp.Body)
		}
		l.drop()
		if bad == "" {
			g.ok("ended", began)
		} else {
			r.fail(g, bad, began)
		}
		time.Sleep(afterEnd)
	}
}

// listen reads events to the end of the stream, or of the run: "" if all is well. They are numbered
// from 1. The last one may be incomplete: a browser drops it and asks again.
func (r *run) listen(l *link, body io.Reader) string {
	for in, next := bufio.NewReader(body), 1; ; {
		if r.over() {
			return ""
		}
		l.conn.SetDeadline(time.Now().Add(r.timeout))
		line, err := in.ReadString('\n')
		switch {
		case err == io.EOF:
			return ""
		case err != nil:
			return why("events", false, err)
		case strings.HasPrefix(line, "id: "):
			if line != fmt.Sprintf("id: %d\n", next) {
				return "events: one is missing"
			}
			next++
		}
	}
}

// ---- WebSockets --------------------------------------------------------------------------------------

const (
	opText, opClose             = 1, 8
	closeNormal, closeGoingAway = 1000, 1001
)

var errMessage = errors.New("the echo is not what was sent")

const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhpcyBpcyBhIHRlc3QuIQ==\r\n"

func (r *run) websockets(g *group) {
	for !r.over() {
		var l link
		began := time.Now()
		resp, bad := r.open(g, &l, upgrade)
		if bad == "" && resp.StatusCode != http.StatusSwitchingProtocols {
			bad = status(resp)
		}
		code := 0
		if bad == "" {
			var err error
			if code, err = r.talk(&l); err != nil {
				bad = why("ws", false, err)
			} else if code != closeNormal && code != closeGoingAway {
				bad = fmt.Sprintf("ws: closed with %d", code)
			}
		}
		l.drop()
		if bad == "" {
			g.ok(fmt.Sprintf("closed with %d", code), began)
		} else {
			r.fail(g, bad, began)
		}
		time.Sleep(afterEnd)
	}
}

// talk has its messages echoed until the other side closes, or the run is over and this side closes.
// Returns the code of the Close frame that came. A message that crosses a Close frame has no echo.
func (r *run) talk(l *link) (int, error) {
	for n := 1; ; n++ {
		op, text := byte(opText), fmt.Sprintf("message %d", n)
		if r.over() {
			op, text = opClose, string(binary.BigEndian.AppendUint16(nil, closeNormal))
		}
		l.conn.SetDeadline(time.Now().Add(r.timeout))
		// A failed write is told by the read, unless a Close frame came before.
		_, _ = l.conn.Write(frame(op, text))
		got, payload, err := readFrame(l.in)
		if err != nil {
			return 0, err
		}
		if got == opClose {
			return closed(l, payload, op)
		}
		if payload != text {
			return 0, errMessage
		}
		// A Close frame may come while nothing is asked.
		l.conn.SetReadDeadline(time.Now().Add(everyMessage))
		if _, err = l.in.Peek(1); err == nil {
			if got, payload, err = readFrame(l.in); err != nil {
				return 0, err
			}
			if got == opClose {
				return closed(l, payload, opText)
			}
			return 0, errMessage
		}
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			return 0, err
		}
	}
}

// closed answers a Close frame with one, unless it was itself the answer, and reads to the end.
func closed(l *link, payload string, sent byte) (int, error) {
	if len(payload) < 2 {
		return 0, errors.New("a Close frame without a code")
	}
	if sent != opClose {
		_, _ = l.conn.Write(frame(opClose, payload[:2]))
	}
	l.conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, err := io.Copy(io.Discard, l.in)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return 0, errors.New("no end after the Close frame")
	}
	return int(binary.BigEndian.Uint16([]byte(payload))), nil
}

// frame is one of a client: masked, with a mask of zeros.
func frame(op byte, text string) []byte {
	return append([]byte{0x80 | op, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
}

// readFrame reads a short one of a server.
func readFrame(in *bufio.Reader) (byte, string, error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, "", err
	}
	if head[0]&0x80 == 0 || head[1] > 125 {
		return 0, "", errors.New("a frame of a form that the app does not send")
	}
	payload := make([]byte, head[1])
	_, err := io.ReadFull(in, payload)
	return head[0] & 15, string(payload), err
}
