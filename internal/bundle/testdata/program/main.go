// Command program prints the network that it has, or that it has none.
package main

import (
	"fmt"
	"io"
	"os"

	"effnet/internal/bundle"
)

func main() {
	b, err := bundle.Own()
	if err != nil {
		fmt.Println(err)
		os.Exit(6)
	}
	if b == nil {
		fmt.Println("none")
		return
	}
	network, err := io.ReadAll(b.Network)
	fmt.Println(b.Note.About, string(network), err)
}
