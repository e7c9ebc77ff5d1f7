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
	return &decoder{Decoder: p.Parser.NewDecoder()}
}

// decoder is used by one connection, on the goroutine that reads it. It reads
// events; the other packets are the library's.
type decoder struct {
	parser.Decoder
	waiting *parser.Packet // whose attachments are still to come; nil: none is
	// attachments that have come, of wanted ones.
	attachments []types.BufferInterface
	wanted      int
}

const (
	eventType       = '0' + byte(parser.EVENT)
	ackType         = '0' + byte(parser.ACK)
	binaryEventType = '0' + byte(parser.BINARY_EVENT)
	binaryAckType   = '0' + byte(parser.BINARY_ACK)
)

// Add decodes one message. An error closes the client.
func (d *decoder) Add(data any) error {
	buffer, ok := data.(types.BufferInterface)
	if !ok {
		return errPacket
	}
	if _, text := data.(*types.StringBuffer); !text {
		return d.attach(buffer)
	}
	raw := buffer.Bytes()
	if d.waiting != nil || len(raw) == 0 {
		return errPacket
	}
	switch raw[0] {
	case eventType:
		packet, err := decodeEvent(raw[1:])
		if err != nil {
			return err
		}
		d.Emit("decoded", packet)
		return nil
	case ackType:
		packet, err := decodeAck(raw[1:])
		if err != nil {
			return err
		}
		d.Emit("decoded", packet)
		return nil
	case binaryEventType:
		return d.expect(raw[1:], decodeEvent)
	case binaryAckType:
		return d.expect(raw[1:], decodeAck)
	}
	return d.Decoder.Add(data)
}

// expect reads what follows the type of a binary packet: the number of attachments,
// a dash, and a packet with placeholders for them.
func (d *decoder) expect(raw []byte, decode func([]byte) (*parser.Packet, error)) error {
	digits, rest, ok := bytes.Cut(raw, []byte("-"))
	count, err := strconv.ParseUint(string(digits), 10, 16)
	if !ok || err != nil || count < 1 || count > parser.DefaultMaxAttachments {
		return errPacket
	}
	packet, err := decode(rest)
	if err != nil {
		return err
	}
	d.waiting, d.wanted, d.attachments = packet, int(count), nil
	return nil
}

// attach takes an attachment; the last one completes its event.
func (d *decoder) attach(buffer types.BufferInterface) error {
	if d.waiting == nil {
		return errPacket
	}
	d.attachments = append(d.attachments, buffer)
	if len(d.attachments) < d.wanted {
		return nil
	}
	packet, attachments := d.waiting, d.attachments
	d.waiting, d.attachments = nil, nil
	data, err := fillPlaceholders(packet.Data, attachments)
	if err != nil {
		return err
	}
	packet.Data = data
	d.Emit("decoded", packet)
	return nil
}

// fillPlaceholders puts attachments where {"_placeholder":true,"num":n} stands.
func fillPlaceholders(v any, attachments []types.BufferInterface) (any, error) {
	var err error
	switch v := v.(type) {
	case []any:
		for i := range v {
			if v[i], err = fillPlaceholders(v[i], attachments); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		if v["_placeholder"] == true {
			number, _ := v["num"].(json.Number)
			n, err := strconv.Atoi(number.String())
			if err != nil || n < 0 || n >= len(attachments) {
				return nil, errPacket
			}
			attachment := attachments[n]
			if attachments[n] = nil; attachment == nil { // each stands in one place, else a small message grows without bound
				return nil, errPacket
			}
			return attachment, nil
		}
		for key := range v {
			if v[key], err = fillPlaceholders(v[key], attachments); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// decodeEvent reads what follows the type of an event packet:
// [/namespace,][id]["name", arguments...].
func decodeEvent(raw []byte) (*parser.Packet, error) {
	packet, args, err := decodeHead(parser.EVENT, raw)
	if err != nil || len(args) == 0 {
		return nil, errPacket
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

// decodeAck reads what follows the type of an acknowledgement:
// [/namespace,]id[arguments...].
func decodeAck(raw []byte) (*parser.Packet, error) {
	packet, args, err := decodeHead(parser.ACK, raw)
	if err != nil || packet.Id == nil {
		return nil, errPacket
	}
	packet.Data = args
	return packet, nil
}

// decodeHead reads [/namespace,][id][arguments...].
func decodeHead(kind parser.PacketType, raw []byte) (*parser.Packet, []any, error) {
	packet := &parser.Packet{Type: kind, Nsp: "/"}
	if len(raw) > 0 && raw[0] == '/' {
		comma := bytes.IndexByte(raw, ',')
		if comma < 0 || comma > parser.DefaultMaxNamespaceLength {
			return nil, nil, errPacket
		}
		packet.Nsp, raw = string(raw[:comma]), raw[comma+1:]
	}
	digits := 0
	for digits < len(raw) && raw[digits] >= '0' && raw[digits] <= '9' {
		digits++
	}
	if digits > 0 {
		if digits > maxPacketID {
			return nil, nil, errPacket
		}
		id, err := strconv.ParseUint(string(raw[:digits]), 10, 64)
		if err != nil {
			return nil, nil, errPacket
		}
		packet.Id, raw = &id, raw[digits:]
	}
	args, err := decodeArguments(raw)
	return packet, args, err
}

func decodeArguments(raw []byte) ([]any, error) {
	decode := json.NewDecoder(bytes.NewReader(raw))
	decode.UseNumber()
	var args []any
	if err := decode.Decode(&args); err != nil || args == nil {
		return nil, errPacket
	}
	if rest := raw[decode.InputOffset():]; len(bytes.TrimSpace(rest)) > 0 {
		return nil, errPacket
	}
	return args, nil
}
