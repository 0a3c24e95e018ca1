package checkpoint

import (
	"encoding/json"
	"slices"
	"testing"
)

// Names that JSON cannot hold come back as they were; the others are strings.
func TestNames(t *testing.T) {
	want := Names{"cat", "caf\xe9", "\"<\u00e9>", ""}
	doc, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if text := "[\"cat\",{\"bytes\":\"Y2Fm6Q==\"},\"\\\"\\u003c\u00e9\\u003e\",\"\"]"; string(doc) != text {
		t.Errorf("%s, want %s", doc, text)
	}
	var got Names
	if err := json.Unmarshal(doc, &got); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, want %q (%v)", got, want, err)
	}
	for _, bad := range []string{`{}`, `[1]`, `[{"bytes":1}]`, `["a"`} {
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s is read as %q", bad, got)
		}
	}
}
