package config

import "fmt"

// profiles are named sets of defaults, written as in a file. They are chosen by
// name and never guessed from the surroundings, and none of them opens the hub to
// other machines.
var profiles = map[string]string{
	"development": `{
		"health_monitoring": {"check_interval": 10, "history_size": 50},
		"recovery": {"circuit_breaker": {"failure_threshold": 3}}
	}`,
	"production": `{
		"health_monitoring": {"check_interval": 60, "history_size": 200, "aggregation_window": 600},
		"recovery": {"circuit_breaker": {"failure_threshold": 10, "timeout_seconds": 600}}
	}`,
	"docker": `{
		"health_monitoring": {"check_interval": 60},
		"logging": {"format": "json"}
	}`,
}

// Profiles lists the names of the profiles, sorted.
func Profiles() []string { return sortedKeys(profiles) }

// profile gives the layer of a profile. at says where the name comes from.
func profile(name string, at Origin) (node, []Mistake) {
	text, known := profiles[name]
	if !known {
		return node{}, []Mistake{mistakeAt("", at, fmt.Sprintf("the profile %q", short(name, 40)), oneOf(Profiles()))}
	}
	return readTree([]byte(text), Origin{Kind: FromProfile, Name: name}), nil
}
