declare module "virtual:places" {
  const places: [name: string, longitude: number, latitude: number, population: number][];
  export default places;
}
