{{/* Whether the controller finds tasks by itself. */}}
{{- define "scaleouttask-controller.findsTasks" -}}
{{- if or .Values.sources.enabled .Values.sources.list }}yes{{ end }}
{{- end }}

{{/* Whether the API server knows the kind: Helm can't look it up before the release has installed it. */}}
{{- define "scaleouttask-controller.servesSources" -}}
{{- if .Capabilities.APIVersions.Has "scaleout.dev/v1alpha1/ScaleOutTaskSource" }}yes{{ end }}
{{- end }}

{{/* Namespace and name of an entry. */}}
{{- define "scaleouttask-controller.sourceKey" -}}
{{- $name := default (.source.clusterId | lower | trimAll "-") .source.name }}
{{- printf "%s/%s" (default .root.Release.Namespace .source.namespace) $name }}
{{- end }}

{{/* Those of all sources that are objects of this revision. */}}
{{- define "scaleouttask-controller.ownSources" -}}
{{- $keys := list }}
{{- if include "scaleouttask-controller.servesSources" . }}
{{- range .Values.sources.list }}
{{- $keys = include "scaleouttask-controller.sourceKey" (dict "root" $ "source" .) | append $keys }}
{{- end }}
{{- end }}
{{- join " " $keys }}
{{- end }}

{{/* Fails where Helm would change nothing, and not say so: without server-side apply it leaves an object that the last
revision hadn't as it is, such as one that the first install made as a hook, or one that was kept. */}}
{{- define "scaleouttask-controller.checkTakenOn" -}}
{{- $live := lookup "scaleout.dev/v1alpha1" "ScaleOutTaskSource" .namespace .name }}
{{- if $live }}
{{- $isApplied := false }}
{{- range $live.metadata.managedFields }}
{{- if and (eq .manager "helm") (eq .operation "Apply") }}{{ $isApplied = true }}{{ end }}
{{- end }}
{{- $name := include "scaleouttask-controller.fullname" .root }}
{{- $before := lookup "apps/v1" "Deployment" .root.Release.Namespace $name | dig "metadata" "annotations" "scaleout.dev/sources" "" }}
{{- $key := printf "%s/%s" .namespace .name }}
{{- if not (or $isApplied (splitList " " $before | has $key) (eq (toJson $live.spec) (toJson .spec))) }}
{{- fail (printf "the source %s is there and differs from %s: without server-side apply, Helm takes it on only as it is. Make both the same first, by kubectl or in the values; from the next upgrade on, Helm changes it" $key .place) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Fails where the source would never list. */}}
{{- define "scaleouttask-controller.checkSource" -}}
{{- $values := .root.Values }}
{{- with .source }}
{{- if and .credentialsSecretRef (not $values.secretCredentials.enabled) }}
{{- fail (printf "%s.credentialsSecretRef needs secretCredentials.enabled" $.place) }}
{{- end }}
{{- $spec := default dict (default dict .template).spec }}
{{- if and $spec.waitForNodes (not $values.nodes.enabled) }}
{{- fail (printf "%s.template.spec.waitForNodes needs nodes.enabled" $.place) }}
{{- end }}
{{- if and $values.allowedClusterIds (not (has .clusterId $values.allowedClusterIds)) }}
{{- fail (printf "%s has the cluster %s, which allowedClusterIds has not: its tasks aren't shown" $.place .clusterId) }}
{{- end }}
{{- end }}
{{- if and $values.namespaces (not (has .namespace $values.namespaces)) }}
{{- fail (printf "%s has the namespace %s, which namespaces has not: its objects aren't watched" .place .namespace) }}
{{- end }}
{{- end }}

{{/* What tells tools how to treat a source. */}}
{{- define "scaleouttask-controller.sourceAnnotations" -}}
{{- if .Values.sources.keep }}
helm.sh/resource-policy: keep
argocd.argoproj.io/sync-options: Prune=false,Delete=false
{{- end }}
{{- if not (include "scaleouttask-controller.servesSources" .) }}
# Looked up once the rest of the release is there. The next upgrade takes it on as an object of the release.
helm.sh/hook: post-install,post-upgrade
helm.sh/hook-weight: "1"
# One that says nothing would be deleted first, and its tasks with it. What is no Job nor Pod never fails.
helm.sh/hook-delete-policy: hook-failed
meta.helm.sh/release-name: {{ .Release.Name | quote }}
meta.helm.sh/release-namespace: {{ .Release.Namespace | quote }}
{{- end }}
{{- end }}
