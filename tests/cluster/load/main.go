// load sends requests to an address for a while, in groups of clients, and counts what failed.
// Nothing is tried again but what the kind of a group says.
//
//	load -addr 10.96.0.7:80 -d 60s '20 keepalive /usuarios?ms=50' '10 ws /ws' '10 events /events'
//
// A group is COUNT KIND PATH [THINK]. Kinds:
//
//	keepalive  one request after another on a connection, until a response says that it is the last
//	close      a connection for each request
//	retry      the same; a connect that is refused is tried again
//	upload     as keepalive, with a body of 60 KiB; a client whose request fails leaves
//	ws         a WebSocket each, messages that are echoed; it must end with a Close frame
//	events     an event stream each; it must end with its last chunk
//
// It ends after the time that -d names, or with its standard input. Prints a summary as JSON. Exit status: 0 if nothing failed, else 1.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type group struct {
	Name   string
	count  int
	kind   string
	path   string
	think  time.Duration
	leaves bool // after a failure

	mu    sync.Mutex
	kinds map[string]int
	took  []time.Duration

	firstFailure, lastFailure time.Time
}

type failure struct {
	At    string  `json:"at"`
	Group string  `json:"group"`
	What  string  `json:"what"`
	Took  float64 `json:"took_ms"`
}

type run struct {
	target  target
	until   time.Time
	timeout time.Duration
	stopped atomic.Bool

	mu       sync.Mutex
	failures []failure
	failed   int
}

const shown = 3 // of each kind of failure

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// ok counts what went well: a request, or the whole of a stream.
func (g *group) ok(what string, began time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kinds[what]++
	g.took = append(g.took, time.Since(began))
}

func (r *run) fail(g *group, what string, began time.Time) {
	took := time.Since(began)
	g.mu.Lock()
	g.kinds[what]++
	nth := g.kinds[what]
	g.lastFailure = time.Now()
	if g.firstFailure.IsZero() {
		g.firstFailure = g.lastFailure
	}
	g.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
	if nth <= shown {
		at := time.Now().Format("15:04:05.000")
		r.failures = append(r.failures, failure{at, g.Name, what, ms(took)})
	}
}

func (r *run) over() bool { return r.stopped.Load() || !time.Now().Before(r.until) }

func parse(text string) (*group, error) {
	words := strings.Fields(text)
	if len(words) < 3 || len(words) > 4 {
		return nil, fmt.Errorf("%q: expected COUNT KIND PATH [THINK]", text)
	}
	count, err := strconv.Atoi(words[0])
	if err != nil || count < 1 || count > 10000 {
		return nil, fmt.Errorf("%q: %q is no count", text, words[0])
	}
	if clients[words[1]] == nil {
		return nil, fmt.Errorf("%q: %q is no kind of client", text, words[1])
	}
	g := &group{Name: text, count: count, kind: words[1], path: words[2], kinds: map[string]int{},
		leaves: words[1] == "upload"}
	if len(words) == 4 {
		if g.think, err = time.ParseDuration(words[3]); err != nil {
			return nil, err
		}
	}
	return g, nil
}

var clients = map[string]func(*run, *group){
	"keepalive": func(r *run, g *group) { r.requests(g, get(g.path, true), true, false) },
	"close":     func(r *run, g *group) { r.requests(g, get(g.path, false), false, false) },
	"retry":     func(r *run, g *group) { r.requests(g, get(g.path, false), false, true) },
	"upload":    func(r *run, g *group) { r.requests(g, upload(g.path), true, false) },
	"ws":        (*run).websockets,
	"events":    (*run).events,
}

type summary struct {
	Group string         `json:"group"`
	Done  int            `json:"done"`
	P50   float64        `json:"p50_ms"`
	P99   float64        `json:"p99_ms"`
	Max   float64        `json:"max_ms"`
	Kinds map[string]int `json:"kinds"`
	// From the first failure to the last one.
	Failing float64 `json:"failing_ms"`
}

func (g *group) summary() summary {
	sort.Slice(g.took, func(i, j int) bool { return g.took[i] < g.took[j] })
	at := func(p float64) float64 {
		if len(g.took) == 0 {
			return 0
		}
		return ms(g.took[int(p*float64(len(g.took)-1))])
	}
	return summary{g.Name, len(g.took), at(.5), at(.99), at(1), g.kinds,
		ms(g.lastFailure.Sub(g.firstFailure))}
}

func main() {
	addr := flag.String("addr", "", "where to connect to")
	service := flag.String("watch", "", "a Service: connect to the endpoints that are ready instead")
	length := flag.Duration("d", time.Minute, "how long")
	timeout := flag.Duration("timeout", 30*time.Second, "of a response")
	flag.Parse()
	var groups []*group
	for _, text := range flag.Args() {
		g, err := parse(text)
		if err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(2)
		}
		groups = append(groups, g)
	}
	r := &run{timeout: *timeout, target: fixed(*addr)}
	if *service != "" {
		r.target = watch(*service)
	}
	r.until = time.Now().Add(*length)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		r.stopped.Store(true)
	}()
	var all sync.WaitGroup
	for _, g := range groups {
		for i := 0; i < g.count; i++ {
			all.Add(1)
			go func() {
				defer all.Done()
				clients[g.kind](r, g)
			}()
		}
	}
	all.Wait()
	report(r, groups)
}

func report(r *run, groups []*group) {
	out := struct {
		Failed   int       `json:"failed"`
		Groups   []summary `json:"groups"`
		Failures []failure `json:"failures"`
	}{Failed: r.failed, Failures: r.failures}
	for _, g := range groups {
		out.Groups = append(out.Groups, g.summary())
	}
	text, _ := json.MarshalIndent(out, "", "  ")
	fmt.Println(string(text))
	if r.failed > 0 {
		os.Exit(1)
	}
}
