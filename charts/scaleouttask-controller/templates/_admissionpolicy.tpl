{{/* What an object has now, and had before: each is worked out only where a validation asks for it. */}}
{{- define "scaleouttask-controller.admissionVariables" -}}
{{- range $when, $object := dict "new" "object" "old" "oldObject" }}
- name: {{ $when }}Labels
  expression: {{ $object }}.metadata.?labels.orValue({})
- name: {{ $when }}Annotations
  expression: {{ $object }}.metadata.?annotations.orValue({})
- name: {{ $when }}Finalizers
  expression: {{ $object }}.metadata.?finalizers.orValue([])
- name: {{ $when }}Owners
  expression: {{ $object }}.metadata.?ownerReferences.orValue([])
# Deeper than any field of such an object lies is too much.
- name: {{ $when }}FieldsSize
  expression: >-
    {{ $object }}.metadata.?managedFields.orValue([]).map(m, size(m.manager) + size(m.apiVersion) +
    m.?fieldsV1.orValue({}).map(a, size(a) + m.fieldsV1[a].map(b, size(b) + m.fieldsV1[a][b].map(c, size(c) +
    m.fieldsV1[a][b][c].map(d, size(d) +
    {{- if $.isDeep }}
    m.fieldsV1[a][b][c][d].map(e, size(e) + (size(m.fieldsV1[a][b][c][d][e]) == 0 ? 0 : 1000000)).sum()
    {{- else }}
    (size(m.fieldsV1[a][b][c][d]) == 0 ? 0 : 1000000)
    {{- end }}
    ).sum()).sum()).sum()).sum()).sum()
# kubectl's copy of what was applied. It repeats the rest, and so has a bound of its own.
- name: {{ $when }}Copy
  expression: variables.{{ $when }}Annotations[?'kubectl.kubernetes.io/last-applied-configuration']
- name: {{ $when }}AnnotationCount
  expression: >-
    size(variables.{{ $when }}Annotations) - (variables.{{ $when }}Copy.hasValue() ? 1 : 0)
- name: {{ $when }}EntryCount
  expression: >-
    size(variables.{{ $when }}Labels) + size(variables.{{ $when }}Annotations) +
    size(variables.{{ $when }}Finalizers) + size(variables.{{ $when }}Owners)
- name: {{ $when }}Size
  expression: >-
    variables.{{ $when }}Labels.map(k, size(k) + size(variables.{{ $when }}Labels[k])).sum() +
    variables.{{ $when }}Annotations.map(k, k == 'kubectl.kubernetes.io/last-applied-configuration'
    ? 0 : size(k) + size(variables.{{ $when }}Annotations[k])).sum() +
    variables.{{ $when }}Finalizers.map(f, size(f)).sum() +
    variables.{{ $when }}Owners.map(o, size(o.apiVersion) + size(o.kind) + size(o.name) + size(o.uid)).sum()
{{- end }}
{{- end }}

{{/* One for each bound. What was over it before may stay as it is, or shrink: the rest can still be changed. */}}
{{- define "scaleouttask-controller.admissionValidations" -}}
{{- $spec := .spec }}
{{- $field := replace "?" "" $spec }}
{{- with .bounds }}
{{- with .minPollInterval }}
{{- $now := printf "object.%s.?pollInterval" $spec }}
- expression: >-
    (oldObject != null && {{ $now }} == oldObject.{{ $spec }}.?pollInterval) ||
    !{{ $now }}.hasValue() || duration({{ $now }}.value()) >= duration('{{ . }}')
  message: '{{ $field }}.pollInterval must be at least {{ . }} here: set it to that or more, or leave it out'
{{- end }}
{{- with .maxTimeout }}
{{- $now := printf "object.%s.?timeout" $spec }}
- expression: >-
    (oldObject != null && {{ $now }} == oldObject.{{ $spec }}.?timeout) ||
    !{{ $now }}.hasValue() || duration({{ $now }}.value()) <= duration('{{ . }}')
  message: '{{ $field }}.timeout must be at most {{ . }} here: set it to that or less, or leave it out'
{{- end }}
{{- with .maxNameLength }}
- expression: oldObject != null || size(object.metadata.name) <= {{ int64 . }}
  message: 'metadata.name must have at most {{ int64 . }} characters here: choose a shorter name'
{{- end }}
{{- with .maxLabels }}
- expression: >-
    size(variables.newLabels) <= {{ int64 . }} ||
    (oldObject != null && size(variables.newLabels) <= size(variables.oldLabels))
  message: 'metadata.labels must be at most {{ int64 . }} here: remove some'
{{- end }}
{{- with .maxAnnotations }}
- expression: >-
    variables.newAnnotationCount <= {{ int64 . }} ||
    (oldObject != null && variables.newAnnotationCount <= variables.oldAnnotationCount)
  message: 'metadata.annotations must be at most {{ int64 . }} here, beside that of kubectl apply:
    remove some'
{{- end }}
{{- with .maxMetadataSize }}
{{- $most := int64 . }}
{{- /* Expressions may cost only so much. Each entry has a character at least, so what has more entries is over the
bound without being counted. What had more of them before isn't counted either. */}}
{{- $isMore := printf "variables.oldEntryCount > %d && variables.newEntryCount <= variables.oldEntryCount" $most }}
{{- $uncounted := printf "(oldObject != null && %s)" $isMore }}
- expression: >-
    {{ $uncounted }} ||
    (variables.newEntryCount <= {{ $most }} && (variables.newSize <= {{ $most }} ||
    (oldObject != null && variables.newSize <= variables.oldSize)))
  message: 'metadata.labels, annotations, finalizers and ownerReferences must have at most {{ $most }} characters
    together here: remove or shorten some'
{{- /* Escaped, a character of the copy has up to six; the rest is for the spec. */}}
{{- $kept := add 16384 (mul 6 $most) }}
- expression: >-
    size(variables.newCopy.orValue('')) <= {{ $kept }} ||
    (oldObject != null && size(variables.newCopy.orValue('')) <= size(variables.oldCopy.orValue('')))
  message: 'metadata.annotations[kubectl.kubernetes.io/last-applied-configuration] must have at most {{ $kept }}
    characters here: shorten the manifest, or use kubectl apply --server-side'
- expression: >-
    {{ $uncounted }} ||
    variables.newFieldsSize <= {{ $kept }} ||
    (oldObject != null && variables.newFieldsSize <= variables.oldFieldsSize)
  message: 'metadata.managedFields must have at most {{ $kept }} characters here: use fewer field
    managers'
{{- end }}
{{- end }}
{{- end }}
