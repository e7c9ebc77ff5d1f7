package config

import (
	"maps"
	"reflect"
	"strings"
)

// Take is c with everything live of next: what is in force once a running host,
// configured with c, has been given next. The rest of next waits for a restart.
func (c Config) Take(next Config) Config {
	took := c
	take(reflect.ValueOf(&took).Elem(), reflect.ValueOf(next), false)
	took.Plugins = map[string]Plugin{}
	for _, name := range sortedKeys(named(c, next)) {
		p := c.PluginSettings(name)
		take(reflect.ValueOf(&p).Elem(), reflect.ValueOf(next.PluginSettings(name)), false)
		if _, named := next.Plugins[name]; named || !reflect.DeepEqual(p, next.PluginSettings(name)) {
			took.Plugins[name] = p
		}
	}
	return took
}

// take copies the live fields of a struct and of those in it.
func take(dst, src reflect.Value, live bool) {
	for i := range dst.NumField() {
		f := dst.Type().Field(i)
		live := live || f.Tag.Get("live") != ""
		switch {
		case live:
			dst.Field(i).Set(src.Field(i))
		case f.Type.Kind() == reflect.Struct && f.Type != strategyType:
			take(dst.Field(i), src.Field(i), false)
		}
	}
}

// liveKey says whether a reload changes the value of a key; a section counts as
// live when something in it is.
func liveKey(key string) bool {
	if rest, ok := strings.CutPrefix(key, "plugins."); ok {
		_, setting, _ := strings.Cut(rest, ".")
		setting, _, _ = strings.Cut(setting, ".")
		for i := range pluginType.NumField() {
			if f := pluginType.Field(i); fieldKey(f) == setting {
				return f.Tag.Get("live") != ""
			}
		}
		return setting == ""
	}
	if leaf, is := leafKeys()[key]; is {
		return leaf.live
	}
	for below, leaf := range leafKeys() {
		if leaf.live && strings.HasPrefix(below, key+".") {
			return true
		}
	}
	return false
}

// named are the plugins that one of the two names.
func named(a, b Config) map[string]Plugin {
	all := maps.Clone(a.Plugins)
	if all == nil {
		all = map[string]Plugin{}
	}
	maps.Copy(all, b.Plugins)
	return all
}

// Take is where the values of Config.Take come from: those of next for what is
// live, and the earlier ones for the rest.
func (o Origins) Take(next Origins) Origins {
	took := o
	took.keys, took.notices = map[string]Origin{}, next.Notices()
	for key, origin := range o.keys {
		if !liveKey(key) {
			took.keys[key] = origin
		}
	}
	for key, origin := range next.keys {
		if liveKey(key) {
			took.keys[key] = origin
		}
	}
	return took
}

// Set is o with another origin for the value of one key.
func (o Origins) Set(key string, origin Origin) Origins {
	set := o
	set.keys = maps.Clone(o.keys)
	if set.keys == nil {
		set.keys = map[string]Origin{}
	}
	set.keys[key] = origin
	return set
}
