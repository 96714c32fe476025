{{/* What is permitted, and probably wrong: a JSON array of sentences. Takes what weir-sidecar takes. */}}
{{- define "weir.warnings" -}}
{{- $values := .root.Values -}}
{{- $app := $values.app -}}
{{- $out := list -}}
{{- if lt (include "weir-sidecar.drainDelay" . | int) 2 -}}
{{- $out = append $out "config.drain.delay is less than 2 s: nodes and balancers that learn only after that time that a pod is terminating still connect to it, and are refused." -}}
{{- end -}}
{{- $local := false -}}
{{- range $app.env -}}
{{- if eq .name "BACKEND_LISTEN" -}}
{{- $local = hasPrefix "127." (toString .value) -}}
{{- if and (not $app.socket) (not (hasSuffix (printf ":%v" $app.port) (toString .value))) -}}
{{- $out = append $out (printf "BACKEND_LISTEN is %v but app.port is %v: weir cannot connect to the app." .value $app.port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $kind := list "startupProbe" "readinessProbe" "livenessProbe" -}}
{{- if and $local (get $app $kind) (not (hasKey (get $app $kind) "exec")) -}}
{{- $out = append $out (printf "app.%s: the app listens on 127.0.0.1, where the kubelet cannot reach it: let it listen on all addresses." $kind) -}}
{{- end -}}
{{- if and $app.socket (get $app $kind) (not (hasKey (get $app $kind) "exec")) -}}
{{- $out = append $out (printf "app.%s: the app listens on a Unix socket, which the kubelet cannot connect to: use exec." $kind) -}}
{{- end -}}
{{- end -}}
{{- if hasKey ($app.lifecycle | default dict) "preStop" -}}
{{- $out = append $out (printf "app.lifecycle.preStop replaces the hook that waits for weir's drain: unless it takes %s s, the app is stopped while requests are still waiting." (include "weir-sidecar.hookSeconds" .)) -}}
{{- else if eq $app.hook "none" -}}
{{- $out = append $out "app.hook is none: the app receives SIGTERM while requests are still running and waiting, and they fail unless it keeps serving." -}}
{{- end -}}
{{- range $values.service.extraPorts -}}
{{- if eq (int .targetPort) (int $app.port) -}}
{{- $out = append $out (printf "service.extraPorts: %v leads to app.port, past weir and its limit." .port) -}}
{{- end -}}
{{- end -}}
{{- $memory := dig "limits" "memory" "" ($values.weir.resources | default dict) | toString -}}
{{- if regexMatch "^[0-9]+(Mi|Gi)$" $memory -}}
{{- $given := mul (regexFind "^[0-9]+" $memory | int64) (ternary 1024 1 (hasSuffix "Gi" $memory)) -}}
{{- $least := include "weir-sidecar.memoryMiB" . | int64 -}}
{{- if lt $given $least -}}
{{- $out = append $out (printf "weir.resources.limits.memory is %s, but the values of config let weir use up to %dMi: lower queue.max_bytes, buffers.budget or client.max_connections, or weir may be killed under attack." $memory $least) -}}
{{- end -}}
{{- end -}}
{{- if and (include "weir.scaled" .root) (lt (include "weir-sidecar.queueTimeout" . | int) 30) -}}
{{- $out = append $out (printf "config.queue.timeout is %s s: if a new pod takes longer to become ready, the requests that caused it are refused before that." (include "weir-sidecar.queueTimeout" .)) -}}
{{- end -}}
{{- $budget := $values.podDisruptionBudget -}}
{{- if and $budget.enabled (not (include "weir.scaled" .root)) (not (kindIs "invalid" $budget.minAvailable)) (ge (toString $budget.minAvailable | int) (int $values.replicas)) (not (hasSuffix "%" (toString $budget.minAvailable))) -}}
{{- $out = append $out (printf "podDisruptionBudget.minAvailable is %v of %v replicas: no node with one of the pods can be drained." $budget.minAvailable $values.replicas) -}}
{{- end -}}
{{- if and (ne $values.service.type "ClusterIP") (not (hasKey (get $values.config "headers" | default dict) "trusted")) -}}
{{- $out = append $out (printf "service.type is %s and config.headers.trusted is not set: if nodes replace the client's address, any client can claim any address (README.md)." $values.service.type) -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}
