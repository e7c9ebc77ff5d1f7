package hub

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// refusedEvent is the name under which the decoder delivers an event that may
// not be sent, so that it counts against its sender instead of closing it. Its
// argument is the reason. A client that sends it merely accuses itself.
const refusedEvent = "\x00refused"

// maxPacketID is the longest acknowledgement id, in digits, that is read.
const maxPacketID = 18

var errPacket = errors.New("malformed packet")

// packetParser makes decoders that keep numbers exactly as they were written
// (the library reads them as floating point, which changes large integers),
// refuse what follows an event's JSON, and survive reserved event names.
type packetParser struct{ parser.Parser }

func newPacketParser() parser.Parser { return packetParser{parser.NewParser()} }

func (p packetParser) NewDecoder() parser.Decoder {
	d := &decoder{Decoder: p.Parser.NewDecoder()}
	// Everything but plain events is decoded by the library; the packets it
	// completes end the wait for attachments.
	_ = d.Decoder.On("decoded", func(...any) { d.attachments = false })
	return d
}

// decoder is used by one connection, on the goroutine that reads it.
type decoder struct {
	parser.Decoder
	attachments bool // the library waits for the attachments of a packet
}

// Add decodes one message. Events without attachments are read here; the rest is
// the library's. An error closes the client.
func (d *decoder) Add(data any) error {
	text, ok := data.(*types.StringBuffer)
	if !ok || d.attachments {
		return d.Decoder.Add(data)
	}
	raw := text.Bytes()
	if len(raw) == 0 || raw[0] != '0'+byte(parser.EVENT) {
		binary := len(raw) > 0 && (raw[0] == '0'+byte(parser.BINARY_EVENT) || raw[0] == '0'+byte(parser.BINARY_ACK))
		d.attachments = binary
		return d.Decoder.Add(data)
	}
	packet, err := decodeEvent(raw[1:])
	if err != nil {
		return err
	}
	d.Emit("decoded", packet)
	return nil
}

// decodeEvent reads what follows the type of an event packet:
// [/namespace,][id]["name", arguments...].
func decodeEvent(raw []byte) (*parser.Packet, error) {
	packet := &parser.Packet{Type: parser.EVENT, Nsp: "/"}
	if len(raw) > 0 && raw[0] == '/' {
		comma := bytes.IndexByte(raw, ',')
		if comma < 0 || comma > parser.DefaultMaxNamespaceLength {
			return nil, errPacket
		}
		packet.Nsp, raw = string(raw[:comma]), raw[comma+1:]
	}
	digits := 0
	for digits < len(raw) && raw[digits] >= '0' && raw[digits] <= '9' {
		digits++
	}
	if digits > 0 {
		if digits > maxPacketID {
			return nil, errPacket
		}
		id, err := strconv.ParseUint(string(raw[:digits]), 10, 64)
		if err != nil {
			return nil, errPacket
		}
		packet.Id, raw = &id, raw[digits:]
	}
	args, err := decodeArguments(raw)
	if err != nil {
		return nil, err
	}
	switch name := args[0].(type) {
	case string:
		if parser.ReservedEvents.Has(name) {
			args = []any{refusedEvent, "reserved event name"}
		}
	case json.Number:
		args = []any{refusedEvent, "event name is a number"}
	default:
		return nil, errPacket
	}
	packet.Data = args
	return packet, nil
}

func decodeArguments(raw []byte) ([]any, error) {
	decode := json.NewDecoder(bytes.NewReader(raw))
	decode.UseNumber()
	var args []any
	if err := decode.Decode(&args); err != nil || len(args) == 0 {
		return nil, errPacket
	}
	if rest := raw[decode.InputOffset():]; len(bytes.TrimSpace(rest)) > 0 {
		return nil, errPacket
	}
	return args, nil
}
