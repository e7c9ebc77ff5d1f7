package doctor

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestACertificateIsSaidToEndBeforeItDoes(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		certificate Certificate
		err         error
		want        Level
		text        string
		why         string
	}{
		{Certificate{NotAfter: time.Now().Add(90 * day)}, nil, OK, "CN=hub, until 20", "three months left"},
		{Certificate{NotAfter: time.Now().Add(13 * day)}, nil, Warn, "in 12 days", "less than two weeks left"},
		{Certificate{NotAfter: time.Now().Add(-time.Minute)}, nil, Error, "clients refuse it", "it is over"},
		{Certificate{NotBefore: time.Now().Add(day), NotAfter: time.Now().Add(90 * day)}, nil, Error, "not valid before", "it has not begun"},
		{Certificate{NotAfter: time.Now().Add(90 * day), OpenKey: true}, nil, Warn, "others can read the key hub.key", "its key is no secret"},
		{Certificate{}, errors.New("hub.crt: no such file"), Error, "no such file", "it cannot be read"},
	} {
		in := well(t)
		c.certificate.Subject, c.certificate.File, c.certificate.Key = "CN=hub", "hub.crt", "hub.key"
		in.Certificate = func() (Certificate, error) { return c.certificate, c.err }
		f := find(t, Run(t.Context(), in).Report, "certificate")
		if f.Level != c.want || !strings.Contains(f.Detail, c.text) || (f.Fix == "") != (c.want == OK) {
			t.Errorf("%s: %+v, want %s with %q", c.why, f, c.want, c.text)
		}
	}
	for _, f := range Run(t.Context(), well(t)).Report.Findings {
		if f.Name == "certificate" {
			t.Errorf("without TLS there is a finding: %+v", f)
		}
	}
}
