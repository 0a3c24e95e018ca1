package main

import (
	"crypto/tls"
	"sync/atomic"
)

// certificates has the certificate of a server, whose files can be read again.
type certificates struct {
	cert, key string // files; "" for none
	current   atomic.Pointer[tls.Certificate]
}

// load reads the files. Where that fails, the certificate stays what it was.
func (c *certificates) load() error {
	if c.cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err == nil {
		c.current.Store(&pair)
	}
	return err
}

func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}
