{{- define "weir.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "weir.fullname" -}}
{{- $name := include "weir.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "weir.selectorLabels" -}}
app.kubernetes.io/name: {{ include "weir.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "weir.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "weir.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* metadata of an object. Takes (dict "root" $ "labels" ... "annotations" ...). */}}
{{- define "weir.metadata" -}}
name: {{ include "weir.fullname" .root }}
labels:
  {{- include "weir.labels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The values of weir-sidecar, as JSON: those of `weir`, and those that this chart has in other places. */}}
{{- define "weir.sidecarValues" -}}
{{- if .Values.weir.config -}}
{{- fail "weir.config is a value of the chart weir-sidecar; in this chart, it is config" -}}
{{- end -}}
{{- if .Values.weir.app -}}
{{- fail "weir.app is a value of the chart weir-sidecar; in this chart, it is app" -}}
{{- end -}}
{{- if .Values.weir.terminationGracePeriodSeconds -}}
{{- fail "weir.terminationGracePeriodSeconds is a value of the chart weir-sidecar; in this chart, it is terminationGracePeriodSeconds" -}}
{{- end -}}
{{- $app := .Values.app -}}
{{- $hook := ternary "none" $app.hook (hasKey ($app.lifecycle | default dict) "preStop") -}}
{{- $weir := deepCopy .Values.weir -}}
{{- $_ := set $weir "config" .Values.config -}}
{{- $_ := set $weir "app" (dict "port" $app.port "socket" $app.socket "stopSeconds" $app.stopSeconds "hook" $hook) -}}
{{- $_ := set $weir "scrapeAnnotations" .Values.scrape.annotations -}}
{{- $_ := set $weir "terminationGracePeriodSeconds" .Values.terminationGracePeriodSeconds -}}
{{- toJson $weir -}}
{{- end -}}

{{/* "repository:tag", or "repository@digest" if a digest is set. */}}
{{- define "weir.appImage" -}}
{{- $image := .Values.app.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* A probe of the app, on app.port unless it names one. Takes (dict "probe" ... "port" ...). */}}
{{- define "weir.appProbe" -}}
{{- $probe := deepCopy .probe -}}
{{- range $kind := list "httpGet" "tcpSocket" "grpc" -}}
{{- if and (hasKey $probe $kind) (not (hasKey (get $probe $kind | default dict) "port")) -}}
{{- $_ := set $probe $kind (merge (dict "port" (int $.port)) (get $probe $kind | default dict)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end -}}

{{- define "weir.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccountName | default (include "weir.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccountName -}}
{{- end -}}
{{- end -}}

{{/* ---- autoscaling ---- */}}

{{- define "weir.scaled" -}}
{{- $scaling := .Values.autoscaling -}}
{{- if and $scaling.hpa.enabled $scaling.keda.enabled -}}
{{- fail "autoscaling.hpa.enabled and autoscaling.keda.enabled exclude each other: KEDA makes a HorizontalPodAutoscaler of its own" -}}
{{- end -}}
{{- if or $scaling.hpa.enabled $scaling.keda.enabled -}}
{{- if and (eq (int $scaling.minReplicas) 0) (not (and $scaling.keda.enabled $scaling.keda.triggers)) -}}
{{- fail "autoscaling.minReplicas is 0, but without a pod, no weir can report requests: set autoscaling.keda.triggers to a trigger that counts them elsewhere (examples/keda-http)" -}}
{{- end -}}
{{- if lt (int $scaling.maxReplicas) (int $scaling.minReplicas) -}}
{{- fail (printf "autoscaling.maxReplicas is %d, less than autoscaling.minReplicas, %d" (int $scaling.maxReplicas) (int $scaling.minReplicas)) -}}
{{- end -}}
true
{{- end -}}
{{- end -}}

{{/* Requests per pod, in thousandths: Knative's share of the limit. */}}
{{- define "weir.target" -}}
{{- $scaling := .Values.autoscaling -}}
{{- $limit := dig "concurrency" 80 .Values.config | toString -}}
{{- $connections := dig "upstream" "max_connections" "limit" .Values.config | toString -}}
{{- if $scaling.averageValue -}}
{{- round (mulf $scaling.averageValue 1000) 0 | int64 -}}
{{- else if eq $limit "unlimited" -}}
{{- fail "config.concurrency is unlimited, so there is no share of it: set autoscaling.averageValue, the requests per pod" -}}
{{- else -}}
{{- $least := float64 $limit -}}
{{- if ne $connections "limit" -}}
{{- $least = minf $least (float64 $connections) -}}
{{- end -}}
{{- round (mulf $scaling.utilization $least 1000) 0 | int64 -}}
{{- end -}}
{{- end -}}
