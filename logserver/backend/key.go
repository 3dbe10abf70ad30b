package backend

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// keySize is the length of a key for encryption at rest, in bytes.
const keySize = 32

// CredentialPrefix begins the name of a systemd credential, in place of a path.
const CredentialPrefix = "credential:"

// ReadKey reads a key for encryption at rest: a file of 32 bytes, or of their
// hexadecimal or base64 form on one line. Only its owner may be able to read
// it. "credential:NAME" is the systemd credential of that name (systemd.exec(5),
// LoadCredential= and LoadCredentialEncrypted=).
func ReadKey(path string) ([]byte, error) {
	name, credential := strings.CutPrefix(path, CredentialPrefix)
	if credential {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		switch {
		case dir == "":
			return nil, fmt.Errorf("%s: no credentials were passed on; does the unit have LoadCredential=%s:FILE?", path, name)
		case name == "" || strings.Contains(name, "/"):
			return nil, fmt.Errorf("%s: %q cannot be the name of a credential", path, name)
		}
		path = filepath.Join(dir, name)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); !credential && mode.IsRegular() && mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others than its owner may read or write the key (chmod 600 %s)", path, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4*keySize+1))
	if err != nil {
		return nil, err
	}
	key := decodeKey(text)
	if key == nil {
		return nil, fmt.Errorf("%s holds no key: want %d bytes, as they are or in hexadecimal or base64 (head -c %d /dev/urandom >FILE makes one)", path, keySize, keySize)
	}
	return key, nil
}

// decodeKey returns nil if the text is no key.
func decodeKey(text []byte) []byte {
	if len(text) == keySize {
		return text
	}
	line := strings.TrimSpace(string(text))
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString} {
		if key, err := decode(line); err == nil && len(key) == keySize {
			return key
		}
	}
	return nil
}
