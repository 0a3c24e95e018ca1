// Package version has the number of the latest version, and the names of builds after it.
package version

// Number is the newest version in CHANGELOG.md.
const Number = "0.1.0"
