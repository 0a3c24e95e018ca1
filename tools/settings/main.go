// Command settings writes the reference of settings, docs/settings.md.
package main

import (
	"flag"
	"log"
	"os"

	"effnet/internal/config"
)

func main() {
	out := flag.String("o", "docs/settings.md", "file to write")
	flag.Parse()
	if err := os.WriteFile(*out, config.Reference(), 0o666); err != nil {
		log.Fatal(err)
	}
}
