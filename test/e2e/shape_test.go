package e2e

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// shape says what a JSON value must look like: a word ("string", "number",
// "bool", "object", "array", "time", "strings", "any"), the wanted string
// behind "=", or an object of shapes by key. Keys beyond those named are fine:
// ours stand beside the reference's.
type shape = map[string]any

// misfits lists where a value does not have the shape.
func misfits(path string, value any, want any) []string {
	bad := func() []string { return []string{fmt.Sprintf("%s is %T %v, want %v", path, value, value, want)} }
	if keys, ok := want.(shape); ok {
		o, ok := value.(map[string]any)
		if !ok {
			return bad()
		}
		var all []string
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			v, there := o[k]
			if !there {
				all = append(all, fmt.Sprintf("%s.%s is missing", path, k))
				continue
			}
			all = append(all, misfits(path+"."+k, v, keys[k])...)
		}
		return all
	}
	fits := false
	switch want {
	case "any":
		fits = true
	case "string":
		s, ok := value.(string)
		fits = ok && s != ""
	case "number":
		_, fits = value.(float64)
	case "bool":
		_, fits = value.(bool)
	case "object":
		_, fits = value.(map[string]any)
	case "array":
		_, fits = value.([]any)
	case "strings":
		list, ok := value.([]any)
		fits = ok
		for _, v := range list {
			if _, ok := v.(string); !ok {
				fits = false
			}
		}
	case "time": // RFC 3339 in UTC with Z
		s, _ := value.(string)
		_, err := time.Parse(time.RFC3339Nano, s)
		fits = err == nil && s[len(s)-1] == 'Z'
	default:
		word, _ := want.(string)
		fits = len(word) > 0 && word[0] == '=' && value == word[1:]
	}
	if !fits {
		return bad()
	}
	return nil
}
