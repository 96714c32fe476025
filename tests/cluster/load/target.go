package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"sync"
	"time"
)

// target says where the next connection leads, and whether one that there is may be kept.
type target interface {
	pick() string
	keeps(address string) bool
}

type fixed string

func (f fixed) pick() string      { return string(f) }
func (f fixed) keeps(string) bool { return true }

// endpoints are those of a Service that are ready, as a balancer knows them that watches its slices.
// Such a balancer leaves an address as soon as it is not ready any more.
type endpoints struct {
	mu    sync.Mutex
	ready []string
}

func (e *endpoints) pick() string {
	for {
		e.mu.Lock()
		n := len(e.ready)
		if n > 0 {
			defer e.mu.Unlock()
			return e.ready[rand.Intn(n)]
		}
		e.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
}

func (e *endpoints) keeps(address string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.ready {
		if a == address {
			return true
		}
	}
	return false
}

type slice struct {
	Endpoints []struct {
		Addresses  []string
		Conditions struct{ Ready bool }
	}
	Ports []struct{ Port int }
}

func (e *endpoints) set(s slice) {
	var ready []string
	for _, one := range s.Endpoints {
		if one.Conditions.Ready && len(s.Ports) > 0 {
			ready = append(ready, fmt.Sprintf("%s:%d", one.Addresses[0], s.Ports[0].Port))
		}
	}
	e.mu.Lock()
	e.ready = ready
	e.mu.Unlock()
}

// watch reads the slices of a Service through kubectl, which ends with this program's output pipe.
func watch(service string) *endpoints {
	cmd := exec.Command("kubectl", "get", "endpointslices", "--watch", "--output", "json",
		"--selector", "kubernetes.io/service-name="+service)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load: kubectl:", err)
		os.Exit(2)
	}
	e := &endpoints{}
	go func() {
		for from := json.NewDecoder(out); ; {
			var s slice
			if err := from.Decode(&s); err != nil {
				fmt.Fprintln(os.Stderr, "load: the watch has ended:", err)
				return
			}
			e.set(s)
		}
	}()
	return e
}
