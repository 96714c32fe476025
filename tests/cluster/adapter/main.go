// adapter provides metrics from Prometheus to HorizontalPodAutoscalers, by rules of prometheus-adapter. It
// supports only those that the charts recommend: metrics of pods (rules) and external ones
// (externalRules), with one override for the namespace and one for the pod.
//
//	adapter -prometheus http://10.250.0.1:9090 -rules rules.json
//
// It runs on the node, with kubectl on its path. Rules are JSON. GET /targets names the pods to scrape.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

type rule struct {
	SeriesQuery string
	Resources   struct {
		Overrides map[string]struct{ Resource string } // by label
	}
	Name         struct{ As string }
	MetricsQuery string
}

type rules struct {
	Rules, ExternalRules []rule
}

// series is the name in a seriesQuery: weir_request_seconds_total{namespace!=""}.
func (r rule) series() string { return strings.SplitN(r.SeriesQuery, "{", 2)[0] }

// label is that of a resource: namespace, pod.
func (r rule) label(resource string) string {
	for label, to := range r.Resources.Overrides {
		if to.Resource == resource {
			return label
		}
	}
	return resource
}

func (r rule) query(matchers []string, groupBy string) string {
	return strings.NewReplacer("<<.Series>>", r.series(), "<<.LabelMatchers>>", strings.Join(matchers, ","),
		"<<.GroupBy>>", groupBy).Replace(r.MetricsQuery)
}

// ---- the sources ----------------------------------------------------------------------------------

var prometheus = flag.String("prometheus", "http://127.0.0.1:9090", "its address")

type sample struct {
	Metric map[string]string
	Value  [2]any // time, and the value as a string
}

func (s sample) value() float64 {
	text, _ := s.Value[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

func ask(query string) ([]sample, error) {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(*prometheus + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var out struct {
		Error string
		Data  struct{ Result []sample }
	}
	if err = json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return nil, err
	}
	if out.Error != "" {
		return nil, errors.New(out.Error)
	}
	log.Printf("%s: %v", query, out.Data.Result)
	return out.Data.Result, nil
}

func podsOf(namespace, selector string) ([]string, error) {
	out, err := exec.Command("kubectl", "get", "pods", "--namespace", namespace, "--selector", selector,
		"--output", "jsonpath={.items[*].metadata.name}").Output()
	return strings.Fields(string(out)), err
}

// ---- the two APIs ----------------------------------------------------------------------------------

const (
	custom   = "/apis/custom.metrics.k8s.io/v1beta2"
	external = "/apis/external.metrics.k8s.io/v1beta1"
)

type object map[string]any

func write(w http.ResponseWriter, what object) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(what)
}

func fail(w http.ResponseWriter, code int, err error) {
	log.Printf("%d: %v", code, err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(object{"kind": "Status", "apiVersion": "v1", "status": "Failure",
		"code": code, "message": err.Error()})
}

func list(root, kind, prefix string, all []rule) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var resources []object
		for _, r := range all {
			resources = append(resources, object{"name": prefix + r.Name.As, "singularName": "",
				"namespaced": true, "kind": kind, "verbs": []string{"get"}})
		}
		write(w, object{"kind": "APIResourceList", "apiVersion": "v1",
			"groupVersion": strings.TrimPrefix(root, "/apis/"), "resources": resources})
	}
}

func named(all []rule, name string) (rule, error) {
	for _, r := range all {
		if r.Name.As == name {
			return r, nil
		}
	}
	return rule{}, fmt.Errorf("there is no rule for the metric %q", name)
}

func quantity(v float64) string { return fmt.Sprintf("%dm", int64(math.Round(v*1000))) }

func now() string { return time.Now().UTC().Format(time.RFC3339) }

func ofPods(all []rule) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		namespace := req.PathValue("namespace")
		r, err := named(all, req.PathValue("metric"))
		if err != nil {
			fail(w, http.StatusNotFound, err)
			return
		}
		pods, err := podsOf(namespace, req.URL.Query().Get("labelSelector"))
		var found []sample
		if err == nil && len(pods) > 0 {
			label := r.label("pod")
			found, err = ask(r.query([]string{fmt.Sprintf("%s=%q", r.label("namespace"), namespace),
				fmt.Sprintf("%s=~%q", label, strings.Join(pods, "|"))}, label))
		}
		if err != nil {
			fail(w, http.StatusInternalServerError, err)
			return
		}
		items := []object{}
		for _, s := range found {
			pod := object{"kind": "Pod", "apiVersion": "/v1", "namespace": namespace,
				"name": s.Metric[r.label("pod")]}
			items = append(items, object{"describedObject": pod, "timestamp": now(),
				"metric": object{"name": r.Name.As, "selector": nil}, "value": quantity(s.value())})
		}
		write(w, object{"kind": "MetricValueList", "apiVersion": "custom.metrics.k8s.io/v1beta2",
			"metadata": object{}, "items": items})
	}
}

func ofAll(all []rule) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		r, err := named(all, req.PathValue("metric"))
		if err != nil {
			fail(w, http.StatusNotFound, err)
			return
		}
		matchers := []string{fmt.Sprintf("%s=%q", r.label("namespace"), req.PathValue("namespace"))}
		for _, pair := range strings.Split(req.URL.Query().Get("labelSelector"), ",") {
			if label, value, ok := strings.Cut(pair, "="); ok {
				matchers = append(matchers, fmt.Sprintf("%s=%q", label, value))
			}
		}
		found, err := ask(r.query(matchers, ""))
		if err != nil {
			fail(w, http.StatusInternalServerError, err)
			return
		}
		items := []object{}
		for _, s := range found {
			items = append(items, object{"metricName": r.Name.As, "metricLabels": s.Metric,
				"timestamp": now(), "value": quantity(s.value())})
		}
		write(w, object{"kind": "ExternalMetricValueList", "apiVersion": "external.metrics.k8s.io/v1beta1",
			"metadata": object{}, "items": items})
	}
}

// certificate makes a certificate, which nobody verifies: see insecureSkipTLSVerify of the APIServices.
func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	t := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(9000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &t, &t, &key.PublicKey, key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func main() {
	file := flag.String("rules", "", "the rules, as JSON")
	listen := flag.String("listen", ":4444", "address")
	flag.Parse()
	text, err := os.ReadFile(*file)
	if err != nil {
		log.Fatal(err)
	}
	var all rules
	if err = json.Unmarshal(text, &all); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /targets", targets)
	mux.HandleFunc("GET "+custom, list(custom, "MetricValueList", "pods/", all.Rules))
	mux.HandleFunc("GET "+custom+"/namespaces/{namespace}/pods/{all}/{metric}", ofPods(all.Rules))
	mux.HandleFunc("GET "+external, list(external, "ExternalMetricValueList", "", all.ExternalRules))
	mux.HandleFunc("GET "+external+"/namespaces/{namespace}/{metric}", ofAll(all.ExternalRules))
	server := http.Server{Addr: *listen, Handler: mux,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate()}}}
	log.Fatal(server.ListenAndServeTLS("", ""))
}
