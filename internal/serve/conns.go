package serve

import (
	"container/list"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// conns bounds the connections of a server. Where there are too many, the one that has
// asked nothing for longest is closed, as a client must expect of one that it keeps open;
// where all are busy the new one is told so and closed.
type conns struct {
	limit int
	log   *slog.Logger

	mu     sync.Mutex
	open   int
	idle   list.List                  // net.Conn that have no request, the longest idle first
	places map[net.Conn]*list.Element // in idle
	gone   map[net.Conn]bool          // closed here, and not yet by the server
	closed int                        // for lack of room
}

// busyAnswer is what a connection is told that cannot even ask.
const busyAnswer = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// note is http.Server's ConnState. The server accepts no other connection meanwhile, so
// nothing here waits for a client, as TLS does before it says something or closes.
func (c *conns) note(conn net.Conn, state http.ConnState) {
	excess := c.count(conn, state)
	if excess == nil {
		return
	}
	if secure, ok := excess.(*tls.Conn); ok {
		_ = secure.NetConn().Close()
		return
	}
	if excess == conn {
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write([]byte(busyAnswer)) // into the empty buffer of a connection that is new
	}
	_ = excess.Close()
}

// count returns a connection to close; nil for none.
func (c *conns) count(conn net.Conn, state http.ConnState) (excess net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.places == nil {
		c.places, c.gone = map[net.Conn]*list.Element{}, map[net.Conn]bool{}
	}
	if e := c.places[conn]; e != nil {
		c.idle.Remove(e)
		delete(c.places, conn)
	}
	switch state {
	case http.StateNew:
		c.open++
	case http.StateClosed, http.StateHijacked:
		if !c.gone[conn] {
			c.open--
		}
		delete(c.gone, conn)
	}
	if c.gone[conn] {
		return nil
	}
	if state == http.StateNew || state == http.StateIdle {
		c.places[conn] = c.idle.PushBack(conn)
	}
	if state != http.StateNew || c.open <= c.limit {
		return nil
	}
	// It no longer counts, though the server has yet to see that it is closed.
	c.closed++
	c.open--
	excess = c.idle.Remove(c.idle.Front()).(net.Conn)
	delete(c.places, excess)
	c.gone[excess] = true
	if c.closed == 1 || c.closed%1000 == 0 {
		c.log.Warn("too many connections: closing those that have been idle longest", "limit", c.limit, "closed", c.closed)
	}
	return excess
}

// numbers are the connections that are open, and how many were closed for lack of room.
func (c *conns) numbers() (open, closed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open, c.closed
}
