{{- define "weir.name" -}}
{{- .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "weir.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
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

{{/* "repository:tag", or "repository@digest" if a digest is set. Takes (dict "image" ... "default" tag). */}}
{{- define "weir.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .default }}
{{- end -}}
{{- end -}}

{{/* A duration as weir writes it ("250ms", "10s", "5m", "1h"), in whole seconds, rounded up. */}}
{{- define "weir.seconds" -}}
{{- $n := regexFind "^[0-9]+" . | float64 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $factor := get (dict "us" 0.000001 "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0) $unit -}}
{{- mulf $n $factor | ceil | int -}}
{{- end -}}

{{/*
weir.json. The chart sets the ports and the app's address, so that the Service, the probes and the
configuration cannot disagree.
*/}}
{{- define "weir.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "listen" (printf ":%v" .Values.weir.port) -}}
{{- $upstream := deepCopy (get $config "upstream" | default dict) -}}
{{- $_ := set $upstream "address" (printf "127.0.0.1:%v" .Values.app.port) -}}
{{- $_ := set $config "upstream" $upstream -}}
{{- $admin := deepCopy (get $config "admin" | default dict) -}}
{{- $_ := set $admin "listen" (printf ":%v" .Values.weir.adminPort) -}}
{{- $_ := set $config "admin" $admin -}}
{{- toPrettyJson $config -}}
{{- end -}}

{{/*
The part of weir.json whose change restarts the pods: all of it, unless weir watches the file. Then only
what weir cannot change while it is running; docs/configuration.md has the list. JSON.
*/}}
{{- define "weir.restartingConfig" -}}
{{- $config := include "weir.config" . | fromJson -}}
{{- $part := $config -}}
{{- if get $config "watch" -}}
{{- $part = dict -}}
{{- range $path := list "listen" "listen_mode" "threads" "upstream.address" "classes" "fair" "admin.listen" "admin.listen_mode" "agent.listen" -}}
{{- $value := $config -}}
{{- range splitList "." $path -}}
{{- $value = get ($value | default dict) . -}}
{{- end -}}
{{- $_ := set $part $path $value -}}
{{- end -}}
{{- end -}}
{{- toJson $part -}}
{{- end -}}

{{/* Periods in whole seconds: how long a request may wait, and the drain. */}}
{{- define "weir.queueSeconds" -}}
{{- include "weir.seconds" (dig "queue" "timeout" "10s" .Values.config) -}}
{{- end -}}

{{- define "weir.drainDelay" -}}
{{- include "weir.seconds" (dig "drain" "delay" "5s" .Values.config) -}}
{{- end -}}

{{- define "weir.drainTimeout" -}}
{{- include "weir.seconds" (dig "drain" "timeout" "25s" .Values.config) -}}
{{- end -}}

{{/* The sleep before the app's SIGTERM. Both hooks start together, so weir's drain has ended by then. */}}
{{- define "weir.appSleep" -}}
{{- add (include "weir.drainTimeout" . | int) 1 -}}
{{- end -}}

{{/* The sleep, the app's end, and 5 s for weir's end and the kubelet. */}}
{{- define "weir.leastGracePeriod" -}}
{{- add (include "weir.appSleep" . | int) (int .Values.app.stopSeconds) 5 -}}
{{- end -}}

{{- define "weir.gracePeriod" -}}
{{- .Values.terminationGracePeriodSeconds | default (include "weir.leastGracePeriod" .) -}}
{{- end -}}
