package app

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/upkeephub/upkeep/core/problem"
	"github.com/upkeephub/upkeep/internal/config"
	"github.com/upkeephub/upkeep/proto/handshake"
)

// Version of Upkeep, x.y.z: clients order servers by it.
const Version = "0.1.0"

// SocketIOVersion is what clients compare with the socketio_min of the
// compatibility matrix: the release of python-socketio whose protocol the hub
// speaks. The hub says the same.
const SocketIOVersion = "5.11.0"

// HubCommand is the hidden command that runs a hub.
const HubCommand = handshake.HubCommand

// AdminOff as value of Options.Admin switches the admin listener off.
const AdminOff = "off"

// Options are what the command line says.
type Options struct {
	Plugins string // folder; it must exist
	Host    *string
	Port    *int
	// Admin is host:port, AdminOff, or empty for the default.
	Admin      string
	StateDir   string
	ConfigFile string
	Profile    string // development, production or docker; empty: none
	ServerID   string // empty: a new one at every start
	// InsecureBind allows a public address that other machines reach.
	InsecureBind bool
	// RequireChecksums: no plugin is run without a lock.
	RequireChecksums bool
	// Hangups: each signal on it has the configuration read again. Nil: none comes.
	Hangups <-chan os.Signal
	// JSON makes the first screen one JSON document.
	JSON bool
	// Stdout gets the first screen, Stderr the log.
	Stdout, Stderr io.Writer
}

// configuration reads profile, file and environment and lays the command line
// over them.
func (o Options) configuration() (config.Config, config.Origins, error) {
	flags := map[string]any{}
	if o.Host != nil {
		flags["server.host"] = *o.Host
	}
	if o.Port != nil {
		flags["server.port"] = *o.Port
	}
	if o.ServerID != "" {
		flags["server.server_id"] = o.ServerID
	}
	if o.RequireChecksums {
		flags["plugin_trust.require_checksums"] = true
	}
	if o.Admin != "" {
		flags["admin.address"] = o.Admin
	}
	cfg, origins, err := config.Load(config.Sources{File: o.ConfigFile, Profile: o.Profile, Environ: os.Environ(), Flags: flags})
	if err != nil {
		return cfg, origins, err
	}
	if host, _, err := net.SplitHostPort(cfg.Admin.Address); err == nil && !Loopback(host) {
		return cfg, origins, &problem.Error{
			Code: problem.ConfigInvalid, What: fmt.Sprintf("the admin address %s can be reached by other machines", cfg.Admin.Address),
			Why:   "the admin listener is for this machine",
			Steps: []string{"give a loopback address: host --admin 127.0.0.1:18765"}, Context: map[string]any{"admin": cfg.Admin.Address},
		}
	}
	if !o.InsecureBind && !cfg.Server.Tokens.Required() && !Loopback(cfg.Server.Host) {
		return cfg, origins, &problem.Error{
			Code: problem.ConfigInvalid,
			What: fmt.Sprintf("%s can be reached by other machines", cfg.Server.Host),
			Why:  "clients are not asked for a token, so everybody who reaches the port could read and send events",
			Steps: []string{
				"serve this machine only: --host localhost",
				"or have clients show a token: set server.tokens, see docs/operating/security.md",
				"or put a proxy that asks for one in front of it",
				"or say that you want it: --insecure-bind",
			},
			Context: map[string]any{"host": cfg.Server.Host},
		}
	}
	return cfg, origins, nil
}

// Loopback says whether a name or address reaches this machine only.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
