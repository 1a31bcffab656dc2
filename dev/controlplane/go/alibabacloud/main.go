// Prints the access key that the vendor's own library finds, as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/aliyun/credentials-go/credentials"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	chain, err := credentials.NewCredential(nil)
	if err != nil {
		return err
	}
	key, err := chain.GetCredential()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]*string{
		"id":     key.AccessKeyId,
		"secret": key.AccessKeySecret,
		"token":  key.SecurityToken,
	})
}
