{{/* Name of the gate's objects. */}}
{{- define "flashgate-billing.gateName" -}}
{{- include "flashgate-billing.suffixed" (list . "gate") -}}
{{- end -}}

{{/* Labels of the gate's objects. No Service or selector of the operator may select its pods. */}}
{{- define "flashgate-billing.gateLabels" -}}
{{- $labels := include "flashgate-billing.labels" . | fromYaml -}}
{{- toYaml (set $labels "app.kubernetes.io/component" "gate") -}}
{{- end -}}

{{/* Labels by which a selector finds the gate's pods. */}}
{{- define "flashgate-billing.gateSelectorLabels" -}}
{{- $labels := include "flashgate-billing.selectorLabels" . | fromYaml -}}
{{- toYaml (set $labels "app.kubernetes.io/component" "gate") -}}
{{- end -}}

{{/* The option that states how the gate finds the account of a request. */}}
{{- define "flashgate-billing.gateLookup" -}}
{{- with .Values.gate.account -}}
{{- if .template -}}
--account={{ .template }}
{{- else if .apiKeyHeader -}}
--api-key-header={{ .apiKeyHeader }}
{{- else -}}
--header={{ default "x-flashgate-account" .header }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* URL of the page in the answers to accounts without credits: the portal's, if there is no other one. */}}
{{- define "flashgate-billing.gateBillingPage" -}}
{{- default (ternary .Values.portal.publicURL "" .Values.portal.enabled) .Values.gate.billingPage -}}
{{- end -}}

{{/* The smallest number of pods: an autoscaler starts no fewer. */}}
{{- define "flashgate-billing.gateReplicas" -}}
{{- ternary .Values.gate.autoscaling.minReplicas .Values.gate.replicas .Values.gate.autoscaling.enabled | int -}}
{{- end -}}

{{/* Name of the objects of the admission gate. */}}
{{- define "flashgate-billing.admissionGateName" -}}
{{- include "flashgate-billing.suffixed" (list . "admission-gate") -}}
{{- end -}}

{{/* "true" if labels of Subscriptions decide about requests: those of the admission gate, or those with API keys. */}}
{{- define "flashgate-billing.gateLabelsGuarded" -}}
{{- if or .Values.admissionGate.enabled (and .Values.gate.enabled .Values.gate.account.apiKeyHeader) -}}true{{- end -}}
{{- end -}}
