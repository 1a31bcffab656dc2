{{/* Where ACK's own webhook mounts the token. */}}
{{- define "scaleouttask-controller.rrsaTokens" -}}
/var/run/secrets/ack.alibabacloud.com/rrsa-tokens
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
{{- else if eq $credentials "secret" }}
- name: ALIBABA_CLOUD_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret | quote }}
      key: accessKeyId
- name: ALIBABA_CLOUD_ACCESS_KEY_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret | quote }}
      key: accessKeySecret
- name: ALIBABA_CLOUD_SECURITY_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret | quote }}
      key: securityToken
      optional: true
{{- else if eq $credentials "ecs" }}
- name: ALIBABA_CLOUD_ECS_METADATA
  value: {{ .ecsRamRole | quote }}
{{- else }}
[]
{{- end }}
{{- end }}
{{- end }}
