{{/*
Every template takes (dict "root" $ "weir" .Values.weir "name" NAME), where NAME is the name of the
ConfigMap. `weir` has the values of this chart (values.yaml).
*/}}

{{/* The version of the image, if the values name none. */}}
{{- define "weir-sidecar.version" -}}0.1.0{{- end -}}

{{- define "weir-sidecar.image" -}}
{{- $image := .weir.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (include "weir-sidecar.version" .) }}
{{- end -}}
{{- end -}}

{{/* A duration as weir writes it ("250ms", "10s", "5m", "1h"), in whole seconds, rounded up. */}}
{{- define "weir-sidecar.seconds" -}}
{{- $n := regexFind "^[0-9]+" . | float64 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $factor := get (dict "us" 0.000001 "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0) $unit -}}
{{- mulf $n $factor | ceil | int -}}
{{- end -}}

{{/* A size as weir writes it ("64KiB", "1MB"), in bytes. */}}
{{- define "weir-sidecar.bytes" -}}
{{- $n := regexFind "^[0-9]+" . | int64 -}}
{{- $unit := regexFind "[A-Za-z]+$" . -}}
{{- $factor := get (dict "B" 1 "kB" 1000 "KiB" 1024 "MB" 1000000 "MiB" 1048576 "GB" 1000000000 "GiB" 1073741824) $unit -}}
{{- mul $n $factor -}}
{{- end -}}

{{/* ---- the app ---- */}}

{{- define "weir-sidecar.appPort" -}}
{{- dig "port" 8000 (.weir.app | default dict) | int -}}
{{- end -}}

{{- define "weir-sidecar.appSocket" -}}
{{- dig "socket" "" (.weir.app | default dict) -}}
{{- end -}}

{{- define "weir-sidecar.appHook" -}}
{{- dig "hook" "sleep" (.weir.app | default dict) -}}
{{- end -}}

{{- define "weir-sidecar.appStopSeconds" -}}
{{- dig "stopSeconds" 10 (.weir.app | default dict) | int -}}
{{- end -}}

{{/* ---- weir.json ---- */}}

{{/*
weir.json. The chart sets the ports and the app's address, so that the Service, the probes and the
configuration cannot disagree.
*/}}
{{- define "weir-sidecar.config" -}}
{{- $config := deepCopy (.weir.config | default dict) -}}
{{- $_ := set $config "listen" (printf ":%d" (int .weir.port)) -}}
{{- $upstream := deepCopy (get $config "upstream" | default dict) -}}
{{- $address := printf "127.0.0.1:%s" (include "weir-sidecar.appPort" .) -}}
{{- with include "weir-sidecar.appSocket" . -}}
{{- $address = printf "unix:%s" . -}}
{{- end -}}
{{- $_ := set $upstream "address" $address -}}
{{- $_ := set $config "upstream" $upstream -}}
{{- $admin := deepCopy (get $config "admin" | default dict) -}}
{{- $_ := set $admin "listen" (printf ":%d" (int .weir.adminPort)) -}}
{{- $_ := set $config "admin" $admin -}}
{{- toPrettyJson $config -}}
{{- end -}}

{{/*
The part of weir.json whose change restarts the pods: all of it, unless weir watches the file. Then only
what weir cannot change while it is running; docs/configuration.md has the list. JSON.
*/}}
{{- define "weir-sidecar.restartingConfig" -}}
{{- $config := include "weir-sidecar.config" . | fromJson -}}
{{- $part := $config -}}
{{- if get $config "watch" -}}
{{- $part = dict -}}
{{- range $path := list "listen" "listen_mode" "threads" "upstream.address" "classes" "client.receive_buffer" "client.send_buffer" "fair" "admin.listen" "admin.listen_mode" "agent.listen" -}}
{{- $value := $config -}}
{{- range splitList "." $path -}}
{{- $value = get ($value | default dict) . -}}
{{- end -}}
{{- $_ := set $part $path $value -}}
{{- end -}}
{{- end -}}
{{- toJson $part -}}
{{- end -}}

{{/* ---- periods, in whole seconds ---- */}}

{{- define "weir-sidecar.queueTimeout" -}}
{{- include "weir-sidecar.seconds" (dig "queue" "timeout" "10s" (.weir.config | default dict)) -}}
{{- end -}}

{{- define "weir-sidecar.drainDelay" -}}
{{- include "weir-sidecar.seconds" (dig "drain" "delay" "5s" (.weir.config | default dict)) -}}
{{- end -}}

{{- define "weir-sidecar.drainTimeout" -}}
{{- include "weir-sidecar.seconds" (dig "drain" "timeout" "25s" (.weir.config | default dict)) -}}
{{- end -}}

{{/* How long the hooks take at most. Both start together, so weir's drain has ended by then. */}}
{{- define "weir-sidecar.hookSeconds" -}}
{{- add (include "weir-sidecar.drainTimeout" . | int) 1 -}}
{{- end -}}

{{/* The hook, the app's end, and 5 s for weir's end and the kubelet. */}}
{{- define "weir-sidecar.leastGracePeriod" -}}
{{- add (include "weir-sidecar.hookSeconds" . | int) (include "weir-sidecar.appStopSeconds" . | int) 5 -}}
{{- end -}}

{{/* terminationGracePeriodSeconds of the pod. */}}
{{- define "weir-sidecar.gracePeriod" -}}
{{- $least := include "weir-sidecar.leastGracePeriod" . | int -}}
{{- $grace := .weir.terminationGracePeriodSeconds | default $least | int -}}
{{- if lt $grace $least -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but weir drains for up to %s s (config.drain.timeout), then the app has %s s to stop (app.stopSeconds), and 6 s are added for the hooks and for the end of weir: set it to at least %d, or shorten these periods" $grace (include "weir-sidecar.drainTimeout" .) (include "weir-sidecar.appStopSeconds" .) $least) -}}
{{- end -}}
{{- $grace -}}
{{- end -}}

{{/* ---- memory ---- */}}

{{/*
The minimum memory limit, in MiB: the bounds of the queue, of the buffers, of all clients and of all connections to
the app, 16 MiB for the program and 8 MiB for each thread; and a tenth of the limit to spare. Rounded up to 16 MiB. A
client takes its head and 12 KiB, but at least 40 KiB, and the buffers of its socket, if they are bounded; the kernel
exceeds that for sending by up to 64 KiB. A connection to the app takes its head and 16 KiB. The number of these
connections is rounded up to 256, so that a change of `concurrency`, which weir can reload, usually does not replace the
pods.
*/}}
{{- define "weir-sidecar.memoryMiB" -}}
{{- $config := .weir.config | default dict -}}
{{- $clients := dig "client" "max_connections" 4096 $config | int64 -}}
{{- $limit := dig "concurrency" 80 $config -}}
{{- $inside := $clients -}}
{{- if ne (toString $limit) "unlimited" -}}
{{- $inside = mul 256 (div (add (int64 $limit) 255) 256) -}}
{{- end -}}
{{- $client := max 40960 (add 12288 (include "weir-sidecar.bytes" (dig "client" "max_head" "32KiB" $config) | int64)) -}}
{{- range $buffer, $more := dict "send_buffer" 65536 "receive_buffer" 0 -}}
{{- $socket := dig "client" $buffer "system" $config -}}
{{- if ne $socket "system" -}}
{{- $client = add $client $more (include "weir-sidecar.bytes" $socket | int64) -}}
{{- end -}}
{{- end -}}
{{- $heads := mul $clients $client -}}
{{- $connections := mul $inside (add 16384 (include "weir-sidecar.bytes" (dig "upstream" "max_head" "48KiB" $config) | int64)) -}}
{{- $queue := include "weir-sidecar.bytes" (dig "queue" "max_bytes" "64MiB" $config) | int64 -}}
{{- $buffers := include "weir-sidecar.bytes" (dig "buffers" "budget" "64MiB" $config) | int64 -}}
{{- $program := mul 8388608 (add 2 (dig "threads" 1 $config | int64)) -}}
{{- $sum := add $queue $buffers $heads $connections $program -}}
{{- $unit := 16777216 -}}
{{- $limit := div (mul $sum 10) 9 -}}
{{- mul 16 (div (add $limit $unit -1) $unit) -}}
{{- end -}}

{{- define "weir-sidecar.resources" -}}
{{- $resources := deepCopy (.weir.resources | default dict) -}}
{{- $limits := get $resources "limits" | default dict -}}
{{- if not (hasKey $limits "memory") -}}
{{- $_ := set $limits "memory" (printf "%sMi" (include "weir-sidecar.memoryMiB" .)) -}}
{{- end -}}
{{- $_ := set $resources "limits" $limits -}}
{{- toYaml $resources -}}
{{- end -}}
