package config

import "encoding/json"

// File is a configuration file that holds the whole configuration, with the
// address of its schema for editors. Secrets in it are masked, so it is for one
// that has none, and for showing.
func (c Config) File() ([]byte, error) {
	data, err := json.MarshalIndent(struct {
		Schema string `json:"$schema"`
		Config
	}{SchemaID, c.Masked()}, "", "  ")
	return append(data, '\n'), err
}
