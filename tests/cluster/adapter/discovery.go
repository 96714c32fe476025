package main

import (
	"encoding/json"
	"net/http"
	"os/exec"
)

// Debian's Prometheus has no discovery of pods, so it gets its targets from here (http_sd): the pods that
// have the annotations of the chart, with the labels that its rules and queries expect.

type pod struct {
	Metadata struct {
		Name, Namespace     string
		Labels, Annotations map[string]string
	}
	Status struct{ PodIP string }
}

func (p pod) target() object {
	return object{
		"targets": []string{p.Status.PodIP + ":" + p.Metadata.Annotations["prometheus.io/port"]},
		"labels": map[string]string{
			"namespace": p.Metadata.Namespace,
			"pod":       p.Metadata.Name,
			"app":       p.Metadata.Labels["app.kubernetes.io/instance"],
		},
	}
}

func targets(w http.ResponseWriter, _ *http.Request) {
	out, err := exec.Command("kubectl", "get", "pods", "--all-namespaces", "--output", "json").Output()
	var pods struct{ Items []pod }
	if err == nil {
		err = json.Unmarshal(out, &pods)
	}
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	all := []object{}
	for _, p := range pods.Items {
		if p.Status.PodIP != "" && p.Metadata.Annotations["prometheus.io/scrape"] == "true" {
			all = append(all, p.target())
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all)
}
