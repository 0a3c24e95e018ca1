package hdf5

import "io"

// cursor takes values from the front of bytes. After an error it returns zeros.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) bytes(n int) []byte {
	if c.err == nil && (n < 0 || n > len(c.b)) {
		c.err = io.ErrUnexpectedEOF
	}
	if c.err != nil {
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) skip(n int) { c.bytes(n) }

// uint takes a little-endian number of at most 8 bytes.
func (c *cursor) uint(n int) uint64 {
	v := uint64(0)
	for i, b := range c.bytes(n) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

// int is uint for numbers that fit.
func (c *cursor) int(n int) int { return int(c.uint(n)) }

// magic takes bytes that must be there.
func (c *cursor) magic(want string) bool { return string(c.bytes(len(want))) == want }
