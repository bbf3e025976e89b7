{{/* Name of the meter's objects. */}}
{{- define "flashgate-billing.meterName" -}}
{{- include "flashgate-billing.suffixed" (list . "meter") -}}
{{- end -}}

{{/* User name of the meter's ServiceAccount. */}}
{{- define "flashgate-billing.meterUser" -}}
{{- printf "system:serviceaccount:%s:%s" (include "flashgate-billing.namespace" .) (include "flashgate-billing.meterName" .) -}}
{{- end -}}

{{/* Labels of the meter's objects. No Service or selector of the operator may select its pods. */}}
{{- define "flashgate-billing.meterLabels" -}}
{{- $labels := include "flashgate-billing.labels" . | fromYaml -}}
{{- toYaml (set $labels "app.kubernetes.io/component" "meter") -}}
{{- end -}}

{{/* Labels by which a selector finds the meter's pods. */}}
{{- define "flashgate-billing.meterSelectorLabels" -}}
{{- $labels := include "flashgate-billing.selectorLabels" . | fromYaml -}}
{{- toYaml (set $labels "app.kubernetes.io/component" "meter") -}}
{{- end -}}

{{/* Folder with the files of a server's Secret, by the name of the server. */}}
{{- define "flashgate-billing.meterFolder" -}}
/etc/flashgate-billing/prometheus/{{ . }}
{{- end -}}

{{/* Keys of the Secret of a server that the meter reads, separated by blanks. Empty if it reads none. */}}
{{- define "flashgate-billing.meterKeys" -}}
{{- $keys := list -}}
{{- if eq (default "none" .auth) "bearer" -}}
{{- $keys = append $keys "token" -}}
{{- else if eq (default "none" .auth) "basic" -}}
{{- $keys = concat $keys (list "username" "password") -}}
{{- end -}}
{{- with .tls -}}
{{- if .ca -}}
{{- $keys = append $keys "ca.crt" -}}
{{- end -}}
{{- if .client -}}
{{- $keys = concat $keys (list "tls.crt" "tls.key") -}}
{{- end -}}
{{- end -}}
{{- join " " $keys -}}
{{- end -}}

{{/* The file of `--prometheus-config`. */}}
{{- define "flashgate-billing.meterServers" -}}
{{- $servers := dict -}}
{{- range $name, $server := .Values.meter.servers -}}
{{- $folder := include "flashgate-billing.meterFolder" $name -}}
{{- $entry := dict "url" .url -}}
{{- with .headers -}}
{{- $_ := set $entry "headers" . -}}
{{- end -}}
{{- if eq (default "none" .auth) "bearer" -}}
{{- $_ := set $entry "bearerTokenFile" (printf "%s/token" $folder) -}}
{{- else if eq (default "none" .auth) "basic" -}}
{{- $basic := dict "usernameFile" (printf "%s/username" $folder) "passwordFile" (printf "%s/password" $folder) -}}
{{- $_ := set $entry "basicAuth" $basic -}}
{{- end -}}
{{- with .tls -}}
{{- $tls := dict -}}
{{- if .ca -}}
{{- $_ := set $tls "caFile" (printf "%s/ca.crt" $folder) -}}
{{- end -}}
{{- if .client -}}
{{- $_ := set $tls "certFile" (printf "%s/tls.crt" $folder) -}}
{{- $_ := set $tls "keyFile" (printf "%s/tls.key" $folder) -}}
{{- end -}}
{{- with .serverName -}}
{{- $_ := set $tls "serverName" . -}}
{{- end -}}
{{- with $tls -}}
{{- $_ := set $entry "tls" . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $servers $name $entry -}}
{{- end -}}
{{- toYaml (dict "servers" $servers) -}}
{{- end -}}

{{/* Ports to which the meter connects, as a list in YAML: those of the URLs, and the additional ones. */}}
{{- define "flashgate-billing.meterPorts" -}}
{{- $ports := list -}}
{{- range .Values.meter.servers -}}
{{- $url := urlParse .url -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $ports = append $ports (default (ternary 443 80 (eq $url.scheme "https")) $port | int) -}}
{{- end -}}
{{- range .Values.networkPolicy.prometheusPorts -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
{{- toYaml ($ports | uniq) -}}
{{- end -}}
