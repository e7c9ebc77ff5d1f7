// Package proto holds the source of the plugin API for those who write plugins
// in other languages. It owns nothing else; the generated Go is in the packages
// below it.
package proto

import "embed"

// Files are the .proto files of the plugin API, by their import paths.
//
//go:embed upkeep/plugin/v1/*.proto
var Files embed.FS
