package doctor

import (
	"fmt"
	"time"
)

// Certificate is what clients are served with over TLS.
type Certificate struct {
	File, Key string
	Subject   string
	NotBefore time.Time
	NotAfter  time.Time
	// OpenKey: others than its owner can read the key.
	OpenKey bool
}

// expiresSoon is how long before its end a certificate is worth a warning.
const expiresSoon = 14 * 24 * time.Hour

// certificate looks at the certificate of server.tls, if there is one.
func (e *examination) certificate() {
	if e.Certificate == nil {
		return
	}
	const name = "certificate"
	c, err := e.Certificate()
	left := c.NotAfter.Sub(e.now)
	date := c.NotAfter.UTC().Format(time.DateTime) + " UTC"
	renew := "renew it and write the new files to " + c.File + " and " + c.Key + "; no restart is needed"
	switch {
	case err != nil:
		e.add(name, Error, err.Error(), "see that "+c.File+" and "+c.Key+" are in PEM, belong together and can be read by this user")
	case left <= 0:
		e.add(name, Error, fmt.Sprintf("%s expired %s: clients refuse it", c.Subject, date), renew)
	case e.now.Before(c.NotBefore):
		e.add(name, Error, fmt.Sprintf("%s is not valid before %s UTC: clients refuse it", c.Subject, c.NotBefore.UTC().Format(time.DateTime)),
			"see whether this machine's clock is right, or wait")
	case left < expiresSoon:
		e.add(name, Warn, fmt.Sprintf("%s expires %s, in %d days", c.Subject, date, int(left.Hours()/24)), renew)
	case c.OpenKey:
		e.add(name, Warn, "others can read the key "+c.Key, "chmod 600 "+c.Key)
	default:
		e.ok(name, "%s, until %s", c.Subject, date)
	}
}
