package checkpoint

import (
	"encoding/json"
	"unicode/utf8"
)

// Names are names of classes. In JSON each is a string, but one that is not UTF-8, as a
// folder may be called, which JSON cannot hold: that is an object of its bytes.
type Names []string

// A rawName is a name that is not UTF-8.
type rawName struct {
	Bytes []byte `json:"bytes"`
}

// MarshalJSON implements json.Marshaler.
func (n Names) MarshalJSON() ([]byte, error) {
	if n == nil {
		return []byte("null"), nil
	}
	all := make([]any, len(n))
	for i, name := range n {
		all[i] = name
		if !utf8.ValidString(name) {
			all[i] = rawName{[]byte(name)}
		}
	}
	return json.Marshal(all)
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Names) UnmarshalJSON(doc []byte) error {
	var all []json.RawMessage
	if err := json.Unmarshal(doc, &all); err != nil {
		return err
	}
	if all == nil {
		*n = nil
		return nil
	}
	*n = make(Names, len(all))
	for i, one := range all {
		if len(one) > 0 && one[0] == '{' {
			var raw rawName
			if err := json.Unmarshal(one, &raw); err != nil {
				return err
			}
			(*n)[i] = string(raw.Bytes)
			continue
		}
		if err := json.Unmarshal(one, &(*n)[i]); err != nil {
			return err
		}
	}
	return nil
}
