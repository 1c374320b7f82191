// Package main only holds franz-go's version and checksums; what runs are the module's own tests (suite.py).
package main

import _ "github.com/twmb/franz-go/pkg/kgo"

func main() {}
