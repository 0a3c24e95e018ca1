package driver

import (
	"slices"
	"unsafe"
)

const (
	stagingBytes  = 64 << 20
	stagingParts  = 4   // a copy's parts are at most a fourth of the memory
	stagingAlign  = 256 // bytes; parts begin at multiples
	stagingEvents = 64  // parts that can be under way
)

// staging is pinned host memory, used round and round, that the copies of one stream
// between host and device pass through: from there the GPU copies by itself, at the
// bus's full rate, while the host works. A part is used again when its copy is done,
// which is when all is done that was queued on the stream before it.
type staging struct {
	device *Device
	memory unsafe.Pointer // C's
	bytes  []byte         // the same
	next   int            // where the next part begins, unless it does not fit
	busy   []span         // oldest first; the GPU may still read or write them
	spare  []uintptr      // events of no span
}

// span is the part bytes[start:end], which the GPU has finished with once event
// has happened.
type span struct {
	start, end int
	event      uintptr
}

// open pins a number of bytes, a multiple of stagingParts.
func (s *staging) open(bytes int) error {
	cuda := s.device.cuda
	if err := s.device.do(&cuda.memHostAlloc, uintptr(unsafe.Pointer(&s.memory)), uintptr(bytes), 0); err != nil {
		return err
	}
	s.bytes = unsafe.Slice((*byte)(s.memory), bytes)
	s.busy = make([]span, 0, stagingEvents)
	s.spare = make([]uintptr, 0, stagingEvents)
	for range stagingEvents {
		var event uintptr
		if err := s.device.do(&cuda.eventCreate, uintptr(unsafe.Pointer(&event)), eventNoTiming); err != nil {
			return err
		}
		s.spare = append(s.spare, event)
	}
	return nil
}

// close frees everything. Nothing may be under way.
func (s *staging) close() (first error) {
	cuda := s.device.cuda
	for _, b := range s.busy {
		s.spare = append(s.spare, b.event)
	}
	for _, event := range s.spare {
		if err := s.device.do(&cuda.eventDestroy, event); first == nil {
			first = err
		}
	}
	if s.memory != nil {
		if err := s.device.do(&cuda.memFreeHost, uintptr(s.memory)); first == nil {
			first = err
		}
	}
	*s = staging{device: s.device}
	return first
}

// chunk is the most bytes that a part has.
func (s *staging) chunk() int { return len(s.bytes) / stagingParts }

// at is the address of a span.
func (s *staging) at(p span) uintptr { return uintptr(unsafe.Add(s.memory, p.start)) }

// take returns the next n bytes, at most chunk, and waits until the GPU has
// finished with them. They are never those of the part taken before.
func (s *staging) take(n int) (span, error) {
	start := s.next
	if start+n > len(s.bytes) {
		start = 0
	}
	end := start + n
	overlaps := func(b span) bool { return b.start < end && start < b.end }
	for len(s.spare) == 0 || slices.ContainsFunc(s.busy, overlaps) {
		if err := s.device.do(&s.device.cuda.eventSynchronize, s.busy[0].event); err != nil {
			return span{}, err
		}
		s.spare = append(s.spare, s.busy[0].event)
		s.busy = slices.Delete(s.busy, 0, 1)
	}
	s.next = (end + stagingAlign - 1) / stagingAlign * stagingAlign
	last := len(s.spare) - 1
	event := s.spare[last]
	s.spare = s.spare[:last]
	return span{start, end, event}, nil
}

// queue queues the copy, on a stream, that reads or writes a span that take returned.
func (s *staging) queue(p span, stream uintptr, copying *entry, args ...uintptr) error {
	err := s.device.do(copying, args...)
	if err == nil {
		err = s.device.do(&s.device.cuda.eventRecord, p.event, stream)
	}
	if err != nil {
		s.spare = append(s.spare, p.event)
		return err
	}
	s.busy = append(s.busy, p)
	return nil
}

// copyOut waits for a span and copies it to dst; nothing if dst is nil.
func (s *staging) copyOut(dst []byte, p span) error {
	if dst == nil {
		return nil
	}
	if err := s.device.do(&s.device.cuda.eventSynchronize, p.event); err != nil {
		return err
	}
	copy(dst, s.bytes[p.start:p.end])
	return nil
}
