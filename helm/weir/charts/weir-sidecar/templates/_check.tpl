{{/* What the schema cannot refuse. Prints nothing. */}}
{{- define "weir-sidecar.check" -}}
{{- $kube := .root.Capabilities.KubeVersion.Version -}}
{{- if and .weir.native (semverCompare "<1.29.0-0" $kube) -}}
{{- fail (printf "the cluster is Kubernetes %s, which has no native sidecars (1.29): set weir.native to false" $kube) -}}
{{- end -}}
{{- $hook := include "weir-sidecar.appHook" . -}}
{{- if and (eq $hook "sleep") (semverCompare "<1.30.0-0" $kube) -}}
{{- fail (printf "the cluster is Kubernetes %s, which has no sleep hooks (1.30): set app.hook to http, with the addresses of the nodes in config.admin.allow, or to none, and give the app a preStop hook of its own that takes %s s" $kube (include "weir-sidecar.hookSeconds" .)) -}}
{{- end -}}
{{- if and (eq $hook "http") (not (dig "admin" "allow" list (.weir.config | default dict))) -}}
{{- fail "app.hook is http, but config.admin.allow is empty: weir accepts the kubelet's GET /drain only from the addresses listed there; list those of the nodes" -}}
{{- end -}}
{{- $queue := include "weir-sidecar.queueTimeout" . | int -}}
{{- $delay := include "weir-sidecar.drainDelay" . | int -}}
{{- $drain := include "weir-sidecar.drainTimeout" . | int -}}
{{- if lt $drain (add $delay $queue 1 | int) -}}
{{- fail (printf "config.drain.timeout is %d s, but a request may arrive at the end of drain.delay (%d s) and wait in the queue for %d s: set it to at least %ds, plus the duration of the longest request" $drain $delay $queue (add $delay $queue 1)) -}}
{{- end -}}
{{- if eq (int .weir.port) (int .weir.adminPort) -}}
{{- fail "weir.port and weir.adminPort must differ" -}}
{{- end -}}
{{- $app := include "weir-sidecar.appPort" . | int -}}
{{- $socket := include "weir-sidecar.appSocket" . -}}
{{- range list .weir.port .weir.adminPort -}}
{{- if and (not $socket) (eq (int .) $app) -}}
{{- fail (printf "app.port %d is also a port of weir: both share the address of the pod" $app) -}}
{{- end -}}
{{- end -}}
{{- end -}}
