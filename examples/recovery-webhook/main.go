// Command recovery-webhook is a recovery strategy of Upkeep with an action of
// its own. It restarts nothing: when the hub stays critical it calls a webhook,
// once for each incident, so that those who can mend it know. The parts:
// strategy.go decides, webhook.go calls.
package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/upkeephub/upkeep/sdk"
)

func main() { sdk.Serve(info, newStrategy()) }

// callWebhook is the action that this plugin brings along.
const callWebhook sdk.Action = "call_webhook"

var info = sdk.Info{
	Name:    "recovery-webhook", // equal to the name of the executable and its folder
	Version: "0.1.0",
	Actions: []sdk.ActionInfo{{Name: callWebhook, Description: "Posts the incident to the configured URL, once."}},
}

// settings is the plugin's configuration; its JSON Schema is made from the tags.
type settings struct {
	URL             string `json:"url" jsonschema_description:"Where an incident is posted, http or https. Empty: nowhere, and only a warning is logged."`
	Token           string `json:"token" jsonschema:"writeOnly=true" jsonschema_description:"Sent as Authorization: Bearer, if it is not empty."`
	CriticalReports int    `json:"critical_reports" jsonschema:"minimum=1,maximum=20" jsonschema_description:"After how many critical reports the webhook is called."`
}

// Validate says what the schema cannot.
func (s settings) Validate() error {
	if s.URL == "" {
		return nil
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return sdk.Diagnostic{Path: "url", Summary: fmt.Sprintf("is %q", s.URL), Detail: "want a URL that begins with http:// or https:// and names a host"}
	}
	if strings.ContainsAny(s.Token, "\r\n") {
		return sdk.Diagnostic{Path: "token", Summary: "has a line break", Detail: "want one line"}
	}
	return nil
}

// strategy has no memory: what it decides depends on the situation alone.
type strategy struct{ *sdk.Config[settings] }

func newStrategy() strategy { return strategy{sdk.NewConfig(settings{CriticalReports: 2})} }
