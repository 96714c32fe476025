// app is what stands behind weir in the cluster where the demo app will not do: it starts slowly, and
// has WebSockets and event streams.
//
//	GET /usuarios?ms=50   waits, then responds with JSON
//	GET /ws               a WebSocket that echoes
//	GET /events           an event every 100 ms, numbered from 1, without end
//
// BACKEND_LISTEN is its address, START_MS how long it takes before it listens. SIGTERM stops it once the
// requests inside have their responses; streams end at once.
package main

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

var stopping, stop = context.WithCancel(context.Background())

func usuarios(w http.ResponseWriter, r *http.Request) {
	wait, err := strconv.Atoi(r.URL.Query().Get("ms"))
	if err != nil || wait < 0 || wait > 600_000 {
		wait = 1000
	}
	time.Sleep(time.Duration(wait) * time.Millisecond)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintln(w, `{"usuarios":[]}`)
}

func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	for n := 1; ; n++ {
		fmt.Fprintf(w, "id: %d\ndata: {\"at\": %d}\n\n", n, time.Now().UnixMilli())
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-stopping.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// echo speaks just enough of RFC 6455: short frames, text and Close.
func echo(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if key == "" {
		http.Error(w, "a WebSocket only", http.StatusBadRequest)
		return
	}
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	for rw.Flush() == nil {
		op, payload, ok := readFrame(rw.Reader)
		if !ok {
			return
		}
		rw.Write(append([]byte{0x80 | op, byte(len(payload))}, payload...))
		if op == 8 {
			rw.Flush()
			return
		}
	}
}

func readFrame(in *bufio.Reader) (byte, []byte, bool) {
	var head [6]byte
	if _, err := io.ReadFull(in, head[:]); err != nil || head[1] < 0x80 || head[1] > 0x80+125 {
		return 0, nil, false
	}
	payload := make([]byte, head[1]&0x7f)
	if _, err := io.ReadFull(in, payload); err != nil {
		return 0, nil, false
	}
	for i := range payload {
		payload[i] ^= head[2+i%4]
	}
	return head[0] & 15, payload, true
}

func main() {
	address := os.Getenv("BACKEND_LISTEN")
	start, _ := strconv.Atoi(os.Getenv("START_MS"))
	time.Sleep(time.Duration(start) * time.Millisecond)
	http.HandleFunc("/usuarios", usuarios)
	http.HandleFunc("/events", events)
	http.HandleFunc("/ws", echo)
	server := &http.Server{Addr: address}
	term, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	ended := make(chan error)
	go func() {
		<-term.Done()
		stop()
		bound, cancel := context.WithTimeout(context.Background(), 9*time.Second)
		defer cancel()
		ended <- server.Shutdown(bound)
	}()
	log.Printf("listening on %s", address)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
}
