// NOT RUN: written from the documentation of TensorFlowLiteSwift 2.17 for iOS, compiled and tried by nobody here. The calls
// in Python, C++ and JavaScript beside this file are run in the tests; the signature and its inputs are the same.
//
// Podfile: pod 'TensorFlowLiteSwift'; model.tflite is in the bundle of the app.

import Foundation
import TensorFlowLite

/// Draws with `generate_u8`: a seed, a temperature, and the number of a class where the model takes one, become
/// [H, W, C] bytes.
final class Generator {
  private let runner: SignatureRunner

  init() throws {
    let path = Bundle.main.path(forResource: "model", ofType: "tflite")!
    runner = try Interpreter(modelPath: path).signatureRunner(with: "generate_u8")
    try runner.allocateTensors()
  }

  func generate(label: Int32? = nil, seed: Int32, temperature: Float32 = 1) throws -> [UInt8] {
    if let label { try runner.copy(Self.bytes(of: label), toInputNamed: "label") }
    try runner.copy(Self.bytes(of: seed), toInputNamed: "seed")
    try runner.copy(Self.bytes(of: temperature), toInputNamed: "temperature")
    try runner.invoke()
    return [UInt8](try runner.output(named: "images").data)
  }

  private static func bytes<Number>(of number: Number) -> Data {
    withUnsafeBytes(of: number) { Data($0) }
  }
}
