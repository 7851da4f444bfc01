// Relay: the smallest SFU on Pion, the WebRTC stack of MediaMTX and LiveKit. WHIP in, WHEP out, packets passed on as they are.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v3"
)

var (
	lock      sync.Mutex
	tracks    []*webrtc.TrackLocalStaticRTP
	publisher *webrtc.PeerConnection
)

func answer(w http.ResponseWriter, r *http.Request, pc *webrtc.PeerConnection) {
	offer, _ := io.ReadAll(r.Body)
	check(pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: string(offer)}))
	described, err := pc.CreateAnswer(nil)
	check(err)
	gathered := webrtc.GatheringCompletePromise(pc)
	check(pc.SetLocalDescription(described))
	<-gathered
	w.Header().Set("Location", r.URL.Path+"/session")
	w.Header().Set("ETag", "\"one\"")
	w.Header().Set("Content-Type", "application/sdp")
	w.WriteHeader(201)
	fmt.Fprint(w, pc.LocalDescription().SDP)
}

func whip(w http.ResponseWriter, r *http.Request) {
	if r.Method == "DELETE" {
		publisher.Close()
		fmt.Println("deleted")
		return
	}
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	check(err)
	pc.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		local, err := webrtc.NewTrackLocalStaticRTP(remote.Codec().RTPCodecCapability, remote.Kind().String(), "relayed")
		check(err)
		lock.Lock()
		tracks = append(tracks, local)
		lock.Unlock()
		if remote.Kind() == webrtc.RTPCodecTypeVideo {
			go func() { // as MediaMTX does
				for pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(remote.SSRC())}}) == nil {
					time.Sleep(500 * time.Millisecond)
				}
			}()
		}
		for {
			packet, _, err := remote.ReadRTP()
			if err != nil {
				return
			}
			local.WriteRTP(packet)
		}
	})
	publisher = pc
	answer(w, r, pc)
}

func whep(w http.ResponseWriter, r *http.Request) {
	if r.Method == "DELETE" {
		return
	}
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	check(err)
	lock.Lock()
	for _, track := range tracks {
		_, err := pc.AddTrack(track)
		check(err)
	}
	lock.Unlock()
	answer(w, r, pc)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	http.HandleFunc("/whip/", whip)
	http.HandleFunc("/whep/", whep)
	listening, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(listening.Addr())
	check(http.Serve(listening, nil))
}
