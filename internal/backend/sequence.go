package backend

// Sequence is launches that are always done together: one by one, and from the second
// time on as one, if the backend is a Recorder.
type Sequence struct {
	backend  Backend
	all      func()
	ran      bool   // once
	recorded Launch // nil if it is not
}

// NewSequence returns the Sequence of what all launches, the same each time.
func NewSequence(b Backend, all func()) *Sequence { return &Sequence{backend: b, all: all} }

// Run does all launches.
func (s *Sequence) Run() (err error) {
	if r, ok := s.backend.(Recorder); ok && s.ran && s.recorded == nil {
		if s.recorded, err = r.Record(s.all); err != nil {
			return err
		}
	}
	s.ran = true
	if s.recorded != nil {
		s.recorded()
	} else {
		s.all()
	}
	return nil
}
