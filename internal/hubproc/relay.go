package hubproc

import (
	"encoding/json"
	"sort"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// relay writes a line of the hub's to our log. A line of hclog's JSON keeps its
// level and fields; anything else, such as the trace of a panic, is a warning
// as it stands. Nothing in the line is trusted to have the type it should.
func relay(log hclog.Logger, line string) {
	var fields map[string]any
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &fields) != nil {
		log.Warn("hub wrote", "line", line)
		return
	}
	message, isText := fields["@message"].(string)
	levelName, _ := fields["@level"].(string)
	level := hclog.LevelFromString(levelName)
	if !isText || level == hclog.NoLevel {
		log.Warn("hub wrote", "line", line)
		return
	}
	var keys []string
	for key := range fields {
		if !strings.HasPrefix(key, "@") {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	args := make([]any, 0, 2*len(keys))
	for _, key := range keys {
		args = append(args, key, fields[key])
	}
	log.Log(level, message, args...)
}
