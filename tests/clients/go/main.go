// Go's net/http client in the mode that is asked for: prints `ok`, or says what was wrong.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"time"
)

type counts struct {
	opened, reused int
	interim        []int
	continued      bool
}

// trace notes what the client sees beside the answer.
func trace(c *counts) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if info.Reused {
				c.reused++
			} else {
				c.opened++
			}
		},
		Got100Continue: func() { c.continued = true },
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			c.interim = append(c.interim, code)
			return nil
		},
	}
}

func do(client *http.Client, c *counts, req *http.Request) (*http.Response, string, error) {
	ctx := httptrace.WithClientTrace(context.Background(), trace(c))
	res, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 400 {
		err = fmt.Errorf("%s", res.Status)
	}
	return res, string(body), err
}

func request(method, url string, body io.Reader) *http.Request {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		panic(err)
	}
	return req
}

func want(what string, good bool) error {
	if good {
		return nil
	}
	return fmt.Errorf("not so: %s", what)
}

// unsized hides a reader's length, so that the client has to send chunks.
type unsized struct{ io.Reader }

func keepAlive(client *http.Client, url string) error {
	var c counts
	for i := 0; i < 20; i++ {
		_, body, err := do(client, &c, request("GET", fmt.Sprintf("%s/%d", url, i), nil))
		if err != nil {
			return err
		}
		if err := want("the body is `ok`", body == "ok"); err != nil {
			return err
		}
	}
	return want("one connection served all", c.opened == 1 && c.reused == 19)
}

func parallel(client *http.Client, url string) error {
	var wait sync.WaitGroup
	failed := make(chan error, 50)
	for i := 0; i < 50; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			var c counts
			if _, _, err := do(client, &c, request("POST", url+"/", strings.NewReader("x"))); err != nil {
				failed <- err
			}
		}()
	}
	wait.Wait()
	close(failed)
	return <-failed
}

func chunkedUpload(client *http.Client, url string) error {
	var c counts
	sent := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	req := request("PUT", url+"/echo", unsized{bytes.NewReader(sent)})
	_, body, err := do(client, &c, req)
	if err != nil {
		return err
	}
	return want("the body comes back", body == string(sent))
}

func expect(client *http.Client, url string) error {
	var c counts
	sent := strings.Repeat("x", 100000)
	req := request("POST", url+"/expect", strings.NewReader(sent))
	req.Header.Set("Expect", "100-continue")
	_, body, err := do(client, &c, req)
	if err != nil {
		return err
	}
	if err := want("the client was told to go on", c.continued); err != nil {
		return err
	}
	return want("the body comes back", body == sent)
}

func refused(client *http.Client, url string) error {
	var c counts
	req := request("POST", url+"/refuse", strings.NewReader(strings.Repeat("x", 100000)))
	req.Header.Set("Expect", "100-continue")
	res, _, err := do(client, &c, req)
	if res == nil {
		return err
	}
	return want("413 in place of 100", res.StatusCode == 413 && !c.continued)
}

func trailers(client *http.Client, url string) error {
	var c counts
	req := request("POST", url+"/trailers", nil)
	req.Trailer = http.Header{"X-Up": nil}
	req.Body = io.NopCloser(&lastWords{strings.NewReader("hello"), req})
	res, body, err := do(client, &c, req)
	if err != nil {
		return err
	}
	if err := want("the body is whole", body == "body"); err != nil {
		return err
	}
	return want("a trailer came", res.Trailer.Get("X-Sum") == "42")
}

// lastWords sets the trailer when the body has been read.
type lastWords struct {
	io.Reader
	req *http.Request
}

func (l *lastWords) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if err == io.EOF {
		l.req.Trailer.Set("X-Up", "yes")
	}
	return n, err
}

func interim(client *http.Client, url string) error {
	var c counts
	_, body, err := do(client, &c, request("GET", url+"/hints", nil))
	if err != nil {
		return err
	}
	good := body == "page" && len(c.interim) == 2 && c.interim[0] == 103 && c.interim[1] == 103
	return want(fmt.Sprintf("two 103 and a page: %v %q", c.interim, body), good)
}

func bodyless(client *http.Client, url string) error {
	var c counts
	res, body, err := do(client, &c, request("HEAD", url+"/head", nil))
	if err != nil {
		return err
	}
	if err := want("HEAD has a length and no body", res.ContentLength == 1234 && body == ""); err != nil {
		return err
	}
	if res, _, err = do(client, &c, request("DELETE", url+"/204", nil)); err != nil {
		return err
	}
	return want("204 on the same connection", res.StatusCode == 204 && c.opened == 1)
}

func main() {
	modes := map[string]func(*http.Client, string) error{
		"keep-alive": keepAlive, "parallel": parallel, "chunked-upload": chunkedUpload,
		"expect": expect, "refused": refused, "trailers": trailers, "interim": interim,
		"bodyless": bodyless,
	}
	if len(os.Args) != 3 || modes[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: go-client MODE URL|unix:PATH")
		os.Exit(2)
	}
	transport := &http.Transport{ExpectContinueTimeout: time.Minute, MaxIdleConnsPerHost: 100}
	url := os.Args[2]
	if path := strings.TrimPrefix(url, "unix:"); path != url {
		url = "http://app.test"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
	}
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	if err := modes[os.Args[1]](client, url); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ok")
}
