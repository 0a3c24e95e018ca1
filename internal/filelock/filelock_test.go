package filelock

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	unlock, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Try(path); !errors.Is(err, ErrTaken) {
		t.Errorf("the second time: %v, want ErrTaken", err)
	}
	unlock()
	again, err := Try(path)
	if err != nil {
		t.Fatalf("after it was released: %v", err)
	}
	again()
	if _, err := Try(filepath.Join(t.TempDir(), "none", ".lock")); err == nil {
		t.Error("a lock in no folder was taken")
	}
}

func TestWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	unlock, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Wait(short, path, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the context's end", err)
	}
	calls := 0
	unlock2, err := Wait(t.Context(), path, func() { calls++; unlock() })
	if err != nil {
		t.Fatal(err)
	}
	unlock2()
	if calls != 1 {
		t.Errorf("waiting was called %d times", calls)
	}
}
