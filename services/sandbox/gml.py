"""The georeference of a band as its GML box has it.

Source: the box of a genuine product; OGC 05-047.
"""

_TEMPLATE = """\
<?xml version='1.0' encoding='UTF-8' standalone='no'?>
<gml:FeatureCollection xmlns:gml="http://www.opengis.net/gml" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://www.opengeospatial.net/gml \
http://schemas.opengis.net/gml/3.1.1/profiles/gmlJP2Profile/1.0.0/gmlJP2Profile.xsd">

  <gml:boundedBy>
    <gml:Null>withheld</gml:Null>
  </gml:boundedBy>

  <gml:featureMember>
    <gml:FeatureCollection>
      <gml:featureMember>
        <gml:RectifiedGridCoverage dimension="2" gml:id="RGC0001">
          <gml:rectifiedGridDomain>
            <gml:RectifiedGrid dimension="2">
              <gml:limits>
                <gml:GridEnvelope>
                  <gml:low>1 1</gml:low>
                  <gml:high>{size} {size}</gml:high>
                </gml:GridEnvelope>
              </gml:limits>
              <gml:axisName>x</gml:axisName>
              <gml:axisName>y</gml:axisName>
              <gml:origin>
                <gml:Point gml:id="P0001" srsName="urn:ogc:def:crs:EPSG::{epsg}">
                  <gml:pos>{x} {y}</gml:pos>
                </gml:Point>
              </gml:origin>
              <gml:offsetVector srsName="urn:ogc:def:crs:EPSG::{epsg}">{pixel_m} 0</gml:offsetVector>
              <gml:offsetVector srsName="urn:ogc:def:crs:EPSG::{epsg}">0 -{pixel_m}</gml:offsetVector>
            </gml:RectifiedGrid>
          </gml:rectifiedGridDomain>
          <gml:rangeSet>
            <gml:File>
              <gml:rangeParameters>
                <gml:QuantityExtent uom="urn:ogc:def:crs:EPSG::{epsg}">\
inapplicable inapplicable</gml:QuantityExtent>
              </gml:rangeParameters>
              <gml:fileName>gmljp2://codestream/0</gml:fileName>
              <gml:fileStructure>Record Interleaved</gml:fileStructure>
            </gml:File>
          </gml:rangeSet>
          <gml:coverageFunction>
            <gml:GridFunction>
              <gml:sequenceRule order="+x-y">Linear</gml:sequenceRule>
              <gml:startPoint>1 {size}</gml:startPoint>
            </gml:GridFunction>
          </gml:coverageFunction>
        </gml:RectifiedGridCoverage>
      </gml:featureMember>
    </gml:FeatureCollection>
  </gml:featureMember>

</gml:FeatureCollection>"""


def describe_grid(size: int, pixel_m: int, epsg: int, upper_left: tuple[int, int]) -> str:
    """The GML text of a square image.

    size: rows and columns. upper_left: x and y of the image's corner, metres, EPSG `epsg`; the GML
    tells the centre of the first pixel.
    """
    x, y = upper_left[0] + pixel_m // 2, upper_left[1] - pixel_m // 2
    return _TEMPLATE.format(size=size, pixel_m=pixel_m, epsg=epsg, x=x, y=y)
