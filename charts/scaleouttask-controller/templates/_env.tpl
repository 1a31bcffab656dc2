{{/* Where ACK's own webhook mounts the token. */}}
{{- define "scaleouttask-controller.rrsaTokens" -}}
/var/run/secrets/ack.alibabacloud.com/rrsa-tokens
{{- end }}

{{/* Where the key of credentials.existingSecret is mounted. */}}
{{- define "scaleouttask-controller.credentialsDirectory" -}}
/var/run/secrets/scaleouttask-controller/credentials
{{- end }}

{{/* Where caCertificates are mounted. */}}
{{- define "scaleouttask-controller.caDirectory" -}}
/etc/scaleouttask-controller-ca
{{- end }}

{{/* The variables that say where the credentials come from. */}}
{{- define "scaleouttask-controller.env" -}}
{{- $credentials := include "scaleouttask-controller.credentials" . }}
{{- with .Values.credentials }}
{{- if eq $credentials "rrsa" }}
- name: ALIBABA_CLOUD_ROLE_ARN
  value: {{ .rrsa.roleArn | quote }}
- name: ALIBABA_CLOUD_OIDC_PROVIDER_ARN
  value: {{ .rrsa.oidcProviderArn | quote }}
- name: ALIBABA_CLOUD_OIDC_TOKEN_FILE
  value: {{ include "scaleouttask-controller.rrsaTokens" $ }}/token
{{- else if eq $credentials "ecs" }}
- name: ALIBABA_CLOUD_ECS_METADATA
  value: {{ .ecsRamRole | quote }}
{{- else }}
[]
{{- end }}
{{- end }}
{{- end }}
