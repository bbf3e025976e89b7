{{/* Name of the chart in labels. */}}
{{- define "flashgate-billing.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Name of the objects. */}}
{{- define "flashgate-billing.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Name of an object with a suffix, such as (list $ "catalog"): 63 characters with it. */}}
{{- define "flashgate-billing.suffixed" -}}
{{- $suffix := last . -}}
{{- $name := include "flashgate-billing.fullname" (first .) -}}
{{- printf "%s-%s" ($name | trunc (int (sub 62 (len $suffix))) | trimSuffix "-") $suffix -}}
{{- end -}}

{{- define "flashgate-billing.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "flashgate-billing.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "flashgate-billing.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "flashgate-billing.leaseName" -}}
{{- default (include "flashgate-billing.fullname" .) .Values.leaderElection.leaseName -}}
{{- end -}}

{{/* Labels that never change during a release, because selectors are immutable. */}}
{{- define "flashgate-billing.selectorLabels" -}}
app.kubernetes.io/name: {{ include "flashgate-billing.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Labels of every object. */}}
{{- define "flashgate-billing.labels" -}}
{{- include "flashgate-billing.labelsWith" (list .) -}}
{{- end -}}

{{/*
Labels of every object, merged with further maps: (list $ more evenMore). The first map with a key wins, so that values
cannot override the labels that the chart's selectors use.
*/}}
{{- define "flashgate-billing.labelsWith" -}}
{{- $root := first . -}}
{{- $labels := dict
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/part-of" "flashgate-billing"
  "app.kubernetes.io/managed-by" $root.Release.Service
-}}
{{- $labels = merge $labels (include "flashgate-billing.selectorLabels" $root | fromYaml) -}}
{{- range rest . -}}
{{- $labels = merge $labels . -}}
{{- end -}}
{{- toYaml (merge $labels $root.Values.commonLabels) -}}
{{- end -}}

{{- define "flashgate-billing.image" -}}
{{- with .Values.image -}}
{{- $name := .repository -}}
{{- if .registry -}}{{- $name = printf "%s/%s" .registry .repository -}}{{- end -}}
{{- if .digest -}}
{{- printf "%s@%s" $name .digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Permissions of the operator in the namespaces that it bills. It uses each verb. It has no permission for other groups, it
deletes only reports, and it cannot change what users write.
*/}}
{{- define "flashgate-billing.rules" -}}
# The operator watches facts and accounts. It reads them again before a final verdict, or before a later fact changes
# their status. The refund of a void invoice changes the status of an earlier Payment, with or without the webhook.
- apiGroups: [billing.flashgate.dev]
  resources: [subscriptions, creditpacks, usagereports, payments]
  verbs: [get, list, watch]
- apiGroups: [billing.flashgate.dev]
  resources: [creditadjustments]
  verbs: [list, watch]
# Receipts. Each is a PUT that is bound to a resourceVersion.
- apiGroups: [billing.flashgate.dev]
  resources: [subscriptions/status, creditpacks/status, usagereports/status, payments/status, creditadjustments/status]
  verbs: [update]
# The operator deletes reports some time after their verdict.
- apiGroups: [billing.flashgate.dev]
  resources: [usagereports]
  verbs: [delete]
# Only the operator writes ledgers.
- apiGroups: [billing.flashgate.dev]
  resources: [creditledgers]
  verbs: [get, list, watch, create, update]
{{- if .Values.payments.enabled }}
# The webhook creates a Payment for each callback. It reads and compares one that exists.
- apiGroups: [billing.flashgate.dev]
  resources: [payments]
  verbs: [create]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* Labels of the backup's objects. No Service or selector of the operator may select its pods. */}}
{{- define "flashgate-billing.backupLabels" -}}
{{- $labels := include "flashgate-billing.labels" . | fromYaml -}}
{{- toYaml (set $labels "app.kubernetes.io/component" "backup") -}}
{{- end -}}

{{/* The rule of a NetworkPolicy for egress to the API server. Its address is in the environment, so pods need no DNS. */}}
{{- define "flashgate-billing.apiServerEgress" -}}
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .Values.networkPolicy.apiServer }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The rules of a NetworkPolicy for egress to PostgreSQL and to DNS, because its URL has a host name. */}}
{{- define "flashgate-billing.postgresEgress" -}}
- ports:
    {{- range .Values.networkPolicy.postgresPorts }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .Values.networkPolicy.postgres }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{ include "flashgate-billing.dnsEgress" . }}
{{- end -}}

{{/* The rule of a NetworkPolicy for egress to DNS. */}}
{{- define "flashgate-billing.dnsEgress" -}}
- ports:
    {{- range .Values.networkPolicy.dnsPorts }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end -}}

{{/* The subject of the operator's bindings. */}}
{{- define "flashgate-billing.subject" -}}
- kind: ServiceAccount
  name: {{ include "flashgate-billing.serviceAccountName" . }}
  namespace: {{ include "flashgate-billing.namespace" . }}
{{- end -}}

{{/* "true" if a kind of the Prometheus operator is rendered: (list $ "ServiceMonitor" .Values.serviceMonitor). */}}
{{- define "flashgate-billing.rendersMonitoring" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
{{- $values := index . 2 -}}
{{- if $values.enabled -}}
{{- if or (eq $values.renderMode "always") ($root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" $kind)) -}}
true
{{- else if eq $values.renderMode "fail" -}}
{{- fail (printf "the cluster does not know %s of monitoring.coreos.com/v1: install the Prometheus operator, or set renderMode to skipIfMissing or always" $kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A regular expression for the names of the pods of one Deployment, by its name. Kubernetes truncates long names. */}}
{{- define "flashgate-billing.podsOf" -}}
{{- $name := . -}}
{{- if le (len $name) 46 -}}
{{- printf "%s-[a-z0-9]+-[a-z0-9]+" $name -}}
{{- else -}}
{{- printf "%s.*" ($name | trunc 46) -}}
{{- end -}}
{{- end -}}

{{/*
The plan for examples, as YAML: `name`; `period` if it is not offered monthly; `waits` if its first invoice waits
for a payment. It is monthly and free if the catalog has such a plan.
*/}}
{{- define "flashgate-billing.firstPlan" -}}
{{- $plans := .Values.catalog.plans -}}
{{- $plan := first $plans -}}
{{- range reverse $plans -}}
{{- if and .monthly (not (float64 (default "0" .monthly.price))) -}}
{{- $plan = . -}}
{{- end -}}
{{- end -}}
{{- include "flashgate-billing.planToAsk" (list $ $plan) -}}
{{- end -}}

{{/* The request for a plan of the catalog: (list $ plan). */}}
{{- define "flashgate-billing.planToAsk" -}}
{{- $plan := last . -}}
{{- $asked := dict "name" $plan.name -}}
{{- if not $plan.monthly -}}
{{- $_ := set $asked "period" "Yearly" -}}
{{- end -}}
{{- $offer := default $plan.yearly $plan.monthly -}}
{{- $mode := dig "policies" "payments" "mode" "Internal" (first .).Values.catalog -}}
{{- if and (eq $mode "External") (float64 (default "0" $offer.price)) -}}
{{- $_ := set $asked "waits" true -}}
{{- end -}}
{{- toYaml $asked -}}
{{- end -}}

{{/* Name of the PersistentVolumeClaim of the history. */}}
{{- define "flashgate-billing.historyClaim" -}}
{{- default (include "flashgate-billing.suffixed" (list . "history")) .Values.history.sqlite.existingClaim -}}
{{- end -}}

{{/*
The value of FLASHGATE_HISTORY, as the rest of an `env` entry: (list $ secret), where `secret` has the `existingSecret` and
the `key` with the URL of PostgreSQL.
*/}}
{{- define "flashgate-billing.historyURL" -}}
{{- $secret := last . -}}
{{- if eq (first .).Values.history.mode "sqlite" -}}
value: sqlite:/var/lib/flashgate-billing/history/history.db
{{- else -}}
valueFrom:
  secretKeyRef:
    name: {{ $secret.existingSecret }}
    key: {{ $secret.key }}
{{- end -}}
{{- end -}}

{{/* Volumes that the operator and the portal read: the CA of PostgreSQL and the catalog. Empty without both. */}}
{{- define "flashgate-billing.sharedVolumes" -}}
{{- if and (eq .Values.history.mode "postgres") .Values.history.postgres.ca.existingSecret }}
- name: history-ca
  secret:
    secretName: {{ .Values.history.postgres.ca.existingSecret }}
    items:
      - key: {{ .Values.history.postgres.ca.key }}
        path: ca.crt
{{- end }}
{{- if .Values.catalog }}
- name: catalog
  configMap:
    name: {{ include "flashgate-billing.suffixed" (list . "catalog") }}
{{- end }}
{{- end -}}

{{/* The mounts of the shared volumes. Empty without them. */}}
{{- define "flashgate-billing.sharedMounts" -}}
{{- if and (eq .Values.history.mode "postgres") .Values.history.postgres.ca.existingSecret }}
- name: history-ca
  mountPath: /etc/flashgate-billing/history-ca
  readOnly: true
{{- end }}
{{- if .Values.catalog }}
- name: catalog
  mountPath: /etc/flashgate-billing/catalog
  readOnly: true
{{- end }}
{{- end -}}

{{/* Seconds for which reports are kept because there is a history; empty if the catalog states them, or without a history. */}}
{{- define "flashgate-billing.reportsKeepForSeconds" -}}
{{- $ofCatalog := dig "policies" "reports" "keepForSeconds" "unset" .Values.catalog -}}
{{- if and (ne .Values.history.mode "none") (eq (toString $ofCatalog) "unset") -}}
{{- .Values.history.reportsKeepForSeconds | int -}}
{{- end -}}
{{- end -}}
