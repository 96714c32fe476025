// Go's net/http: an app that believes its forwarding fields.
package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strings"
)

func seen(res http.ResponseWriter, req *http.Request) {
	client, _, _ := net.SplitHostPort(req.RemoteAddr)
	for _, told := range strings.Split(req.Header.Get("X-Forwarded-For"), ", ") {
		if told != "" && told != "127.0.0.1" {
			client = told
		}
	}
	scheme := req.Header.Get("X-Forwarded-Proto")
	if scheme == "" {
		scheme = "http"
	}
	json.NewEncoder(res).Encode(map[string]string{
		"path":   req.URL.Path,
		"root":   req.Header.Get("Script_name") + req.Header.Get("X-Forwarded-Prefix"),
		"scheme": scheme,
		"client": client,
		"user":   req.Header.Get("Remote_user") + req.Header.Get("X-Forwarded-User"),
	})
}

func main() {
	http.HandleFunc("/", seen)
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
