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
	// InsecureBind allows a public address that other machines reach.
	InsecureBind bool
	// Hangups: each signal on it has the configuration read again. Nil: none comes.
	Hangups <-chan os.Signal
	// Stdout gets the first screen, Stderr the log.
	Stdout, Stderr io.Writer
}

// configuration reads the file and lays the command line over it.
func (o Options) configuration() (config.Config, error) {
	cfg, _, err := config.Load(config.Sources{File: o.ConfigFile})
	if err != nil {
		return cfg, err
	}
	if o.Host != nil {
		cfg.Server.Host = *o.Host
	}
	if o.Port != nil {
		cfg.Server.Port = *o.Port
	}
	if err := cfg.Validate("the command line"); err != nil {
		return cfg, err
	}
	if !o.InsecureBind && !Loopback(cfg.Server.Host) {
		return cfg, &problem.Error{
			Code: problem.ConfigInvalid,
			What: fmt.Sprintf("%s can be reached by other machines", cfg.Server.Host),
			Why:  "clients are not asked for a token, so everybody who reaches the port could read and send events",
			Steps: []string{
				"serve this machine only: --host localhost",
				"or put a proxy that asks for a token in front of it",
				"or say that you want it: --insecure-bind",
			},
			Context: map[string]any{"host": cfg.Server.Host},
		}
	}
	return cfg, nil
}

// Loopback says whether a name or address reaches this machine only.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}
