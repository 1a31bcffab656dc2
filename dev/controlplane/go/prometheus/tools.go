//go:build tools

// Package binaries pins the programs that test alerts.
package binaries

import _ "github.com/prometheus/prometheus/cmd/promtool"
