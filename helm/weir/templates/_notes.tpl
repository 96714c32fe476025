{{- define "weir.notes" -}}
{{- $name := include "weir.fullname" . -}}
{{- $w := dict "root" $ "name" $name "weir" (include "weir.sidecarValues" . | fromJson) -}}
{{- $scaled := include "weir.scaled" . -}}
{{ $name }}: at most {{ dig "concurrency" 80 .Values.config | toJson | trimAll "\"" }} requests at once in each of {{ if $scaled }}{{ .Values.autoscaling.minReplicas }} to {{ .Values.autoscaling.maxReplicas }} pods{{ else }}{{ .Values.replicas }} pod(s){{ end }}; the others wait in weir's queue.

1. Send a request to the app through weir:
  kubectl -n {{ .Release.Namespace }} port-forward svc/{{ $name }} 8080:{{ .Values.service.port }} &
  curl -i http://127.0.0.1:8080/

2. Show what weir does, in the terminal or at http://127.0.0.1:9480/ in a browser:
  kubectl -n {{ .Release.Namespace }} exec -it deploy/{{ $name }} -c weir -- /weir top
  kubectl -n {{ .Release.Namespace }} port-forward deploy/{{ $name }} 9480:{{ .Values.weir.adminPort }}

3. Test the way from another pod to the app:
  helm -n {{ .Release.Namespace }} test {{ .Release.Name }}

When a pod is terminated, weir accepts connections for another {{ include "weir-sidecar.drainDelay" $w }} s and serves running and waiting requests for up to {{ include "weir-sidecar.drainTimeout" $w }} s in all. The app then receives SIGTERM and has {{ .Values.app.stopSeconds }} s to stop; the grace period is {{ include "weir-sidecar.gracePeriod" $w }} s.
{{- range include "weir.warnings" $w | fromJsonArray }}

WARNING: {{ . }}
{{- end }}
{{- end -}}
